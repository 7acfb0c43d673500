const { port1, port2 } = new MessageChannel();
let waiting: (() => void)[] = [];
port1.onmessage = () => {
  const resume = waiting;
  waiting = [];
  for (const it of resume) it();
};

/** Lets messages in before going on. Timers would add milliseconds, and microtasks let nothing in. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    port2.postMessage(null);
  });
}
