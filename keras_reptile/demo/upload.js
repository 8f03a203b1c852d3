// Pictures that are uploaded, or dropped onto a row. Each becomes one more drawing of its row, or
// replaces the only one. Given by the page: props.words.
async function takePictures(files, number) {
  const faults = new Set();
  for (const file of files) {
    const { drawing, fault } = isFull(number) ? {} : await drawingOf(file);
    if (fault || isFull(number)) faults.add(inWords(fault ?? "row_full", file));
    else change(drawings.map((all, row) => (row === number ? [...kept(number), drawing] : all)));
  }
  element.querySelector("[data-message]").textContent = [...faults].join(" ");
}

// The drawings of a row that stay beside a new one.
const kept = (number) => (props.most > 1 ? drawings[number] : []);
const isFull = (number) => kept(number).length >= props.most;

function inWords(fault, file) {
  const values = { file: file.name, most: props.most, megabytes: MOST_MEGABYTES };
  return props.words[fault].replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

const rowOf = (event) => rows.indexOf(event.target.closest("[data-row]"));

for (const input of element.querySelectorAll("[data-upload]"))
  input.addEventListener("change", () => {
    const files = [...input.files];
    // The same file can be taken again.
    input.value = "";
    takePictures(files, Number(input.dataset.upload));
  });
element.addEventListener("dragover", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  event.preventDefault();
  event.dataTransfer.dropEffect = rowOf(event) < 0 ? "none" : "copy";
});
element.addEventListener("drop", (event) => {
  if (!event.dataTransfer.types.includes("Files")) return;
  // A browser opens a dropped file in place of the page.
  event.preventDefault();
  if (rowOf(event) >= 0) takePictures([...event.dataTransfer.files], rowOf(event));
});
