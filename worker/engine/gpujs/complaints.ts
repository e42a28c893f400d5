/** What gpu.js writes to the console about: degraded kernels, failed compilations, GPU errors. */
const COMPLAINT =
  /^(Falling back to CPU|gpu\.js \[|An error occurred compiling the javascript|webgpu upgrade declined|Precision requirement changed|randomSeed is not supported|Unfamiliar constructor type|(cloning|new) internal texture|Switching kernels|You are using a deprecated)/;

const heard: string[] = [];
let listening = false;

/**
 * Keeps gpu.js off the console: from now on its complaints are collected, for the errors that follow from them.
 * All else is printed as ever.
 */
export function hearComplaints(): void {
  if (listening) return;
  listening = true;
  for (const level of ['warn', 'error'] as const) {
    const print = console[level].bind(console);
    console[level] = (...parts: unknown[]) => {
      const text = typeof parts[0] === 'string' ? parts.map(String).join(' ') : '';
      if (COMPLAINT.test(text)) heard.push(text);
      else print(...parts);
    };
  }
}

/** What was heard since the last call. */
export function complaints(): readonly string[] {
  return heard.splice(0);
}
