// The static page: it reads the drawings, lets two workers learn them, and shows their answers.
const PAGE = JSON.parse(document.getElementById("data").textContent);
const { words, html, names, network } = PAGE;
const KINDS = ["known", "fresh"];
// The newest request to both workers, and the newest answer of each.
let request = { task: 0, number: 0 }, answers = {};

const place = (id) => document.getElementById(id);

// Shows HTML where it has changed, so that a screen reader says it once.
function show(id, text) {
  const element = place(id);
  if (element.shown !== text) element.innerHTML = element.shown = text;
}

function fail(reason) {
  place("failure").textContent = fill(words.failed, { reason });
}

function floats(base64) {
  return new Float32Array(Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0)).buffer);
}

// Arrays that lie one after another in base64; zeros for null.
function unpacked(base64, sizes) {
  const all = base64 ? floats(base64) : new Float32Array(sizes.reduce((a, b) => a + b, 0));
  let end = 0;
  return sizes.map((size) => all.subarray(end, (end += size)));
}

function networkFrom(kind) {
  const { weights, step, slots } = network[kind];
  const unpack = (base64) => unpacked(base64, network.sizes);
  return { ...network, known: null, fresh: null, weights: unpack(weights), step, slots: slots.map(unpack) };
}

// A function that takes requests, and answers them in a thread of its own where there is one.
function startedLearner(kind) {
  const own = networkFrom(kind), reply = (answer) => take(kind, answer);
  try {
    const source = [place("arithmetic").textContent, "\nserve();"];
    const worker = new Worker(URL.createObjectURL(new Blob(source, { type: "text/javascript" })));
    worker.onmessage = ({ data }) => reply(data);
    worker.onerror = (event) => fail(event.message);
    worker.postMessage(own);
    return (sent) => worker.postMessage(sent);
  } catch {
    return learner(own, reply);
  }
}

// The images of each row of a block of canvases.
function imagesOf(id) {
  return [...place(id).querySelectorAll("[data-row]")].map((row) =>
    [...row.querySelectorAll("canvas[data-inked]")]
      .map((canvas) => prepare(inkOf(canvas), network.side, PAGE.ink))
      .filter((image) => image));
}

function learnDrawings() {
  const rows = imagesOf("examples"), drawn = rows.map((images) => images.length > 0);
  const labels = rows.flatMap((images, label) => images.map(() => label));
  const steps = Number(place("steps").value), task = request.task + 1;
  request = { ...request, task, images: rows.flat(), labels, steps, drawn };
  answers = {};
  ask();
}

function askAgain() {
  const [[query = null]] = imagesOf("query");
  request = { ...request, query };
  ask();
}

const characters = () => request.drawn?.filter(Boolean).length ?? 0;
const amounts = () => ({
  characters: characters(),
  drawings: counted(request.images.length, words.drawing),
  steps: counted(request.steps, words.step),
});

function ask() {
  const { task, images, labels, steps, query = null } = request;
  request.number++;
  if (characters() < 2) {
    say(words.nothing_learned, words.draw_more);
    return;
  }
  if (!answers.known) status(fill(words.learning, amounts()));
  for (const kind of KINDS) learners[kind]({ task, number: request.number, images, labels, steps, query });
}

function take(kind, answer) {
  if (answer.failed) fail(answer.failed);
  if (answer.task !== request.task || characters() < 2) return;
  answers[kind] = answer;
  if (KINDS.some((each) => !answers[each])) return;
  const milliseconds = answers.known.milliseconds.toFixed(0);
  const learned = fill(words.learned, { ...amounts(), milliseconds });
  if (!request.query || KINDS.some((each) => !answers[each].logits)) return say(learned, words.draw_query);
  const [known, fresh] = KINDS.map((each) => probabilities(answers[each].logits));
  status(learned);
  show("verdict", fill(html.verdict, { text: verdict(known, fresh) }));
  show("answer", bars({ known, fresh }));
}

const status = (text) => show("status", fill(html.status, { text }));

// A status and a request for drawings, with empty bars.
function say(learned, asked) {
  const nothing = names.map(() => 0);
  status(learned);
  show("verdict", fill(html.verdict, { text: asked }));
  show("answer", bars({ known: nothing, fresh: nothing }));
}

function showDarkness(dark) {
  document.body.classList.toggle("dark", dark.matches);
}

const dark = matchMedia("(prefers-color-scheme: dark)");
dark.addEventListener("change", () => showDarkness(dark));
showDarkness(dark);
addEventListener("error", (event) => fail(event.message));
addEventListener("unhandledrejection", (event) => fail(event.reason));
const learners = Object.fromEntries(KINDS.map((kind) => [kind, startedLearner(kind)]));
board(place("examples"), { most: PAGE.shots, live: false, words }, learnDrawings);
board(place("query"), { most: 1, live: true, words }, askAgain);
place("steps").addEventListener("input", () => (place("steps_now").value = place("steps").value));
place("steps").addEventListener("change", learnDrawings);
