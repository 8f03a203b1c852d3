// A learner in a thread of its own.

// Answers requests {task, images, labels, steps, query}, the newest one first. Requests with the
// same `task` have the same drawings, which are learned once. `query` may be null, and so `logits`.
function learner(network, reply) {
  let newest = null, running = false, solution = { task: null };
  const isStale = (request) => () => newest.task !== request.task;
  const solve = async (request) => {
    const start = performance.now(), weights = await adapt(network, request, isStale(request));
    if (weights) solution = { task: request.task, weights, milliseconds: performance.now() - start };
  };
  const run = async () => {
    for (let done = null; done !== newest; ) {
      if (solution.task !== newest.task) await solve(newest);
      if (solution.task !== newest.task) continue;
      done = newest;
      const { task, images, query } = done, { weights, milliseconds } = solution;
      const logits = query && predict(network, weights, images, query);
      reply({ task, number: done.number, milliseconds, logits });
    }
  };
  return async (request) => {
    newest = request;
    if (running) return;
    running = true;
    try {
      await run();
    } catch (error) {
      reply({ failed: String(error) });
    }
    running = false;
  };
}

// What a worker does: the first message is the network, the others are requests.
function serve() {
  let receive = null;
  self.onmessage = ({ data }) => {
    if (receive) receive(data);
    else receive = learner(data, (answer) => self.postMessage(answer));
  };
}
