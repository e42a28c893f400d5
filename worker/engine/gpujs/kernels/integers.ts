import type { Backend } from '../kernel.js';

/**
 * Text for integers in gpu.js's language.
 *
 * gpu.js makes a float of every variable whose first value is an integer expression (`const i = this.thread.x`), and
 * then converts at every use as an index. A variable is an integer only where its first value is a whole number and
 * something counts it up. The translation to WebAssembly walks a function twice and takes the number for an integer
 * expression the second time, so there even loop counters become floats; `this.output.x` it takes for a whole number
 * both times. Integer counters and indices make a product in WebAssembly about three times as fast.
 *
 * GLSL takes no float for an integer variable, and gpu.js does not convert: there integers are floats, exact to 2^24.
 */
export function integers(backend: Backend, ...names: readonly string[]): string {
  if (backend === 'webgl') return names.map((name) => `let ${name} = 0;`).join(' ');
  const first = backend === 'wasm' ? 'this.output.x' : '0';
  return names.map((name) => `let ${name} = ${first}; ${name}++;`).join(' ');
}

/** Runs `body` `count` times. Names of counters are used once in a function. */
export function repeat(backend: Backend, counter: string, count: number, body: string): string {
  if (count === 0) return '';
  if (count === 1) return body;
  if (backend !== 'wasm') return `for (let ${counter} = 0; ${counter} < ${count}; ${counter}++) { ${body} }`;
  // this loop has a second bound, gpu.js's limit of iterations, which the engine sets beyond any loop's
  return `let ${counter} = this.output.x; for (${counter} = 0; ${counter} < ${count}; ${counter}++) { ${body} }`;
}

/** `text * factor`, short where it can be. */
export function times(text: string, factor: number): string {
  if (factor === 0 || text === '0') return '0';
  return factor === 1 ? text : `${text} * ${factor}`;
}

/** Terms that are not zero, added up. */
export function added(...terms: readonly (string | number)[]): string {
  const written = terms.filter((term) => term !== 0 && term !== '0' && term !== '');
  return written.length === 0 ? '0' : written.join(' + ');
}

/**
 * Sets `names` (declared integers) to the coordinates of the integer `value` in `shape`, for less than 2^22 places:
 * half a step off any integer, a quotient that is a few units in the last place off still rounds down right.
 */
export function coordinates(names: readonly string[], value: string, shape: readonly number[]): string {
  const lines: string[] = [];
  let rest = value;
  names.forEach((name, axis) => {
    const stride = shape.slice(axis + 1).reduce((product, dim) => product * dim, 1);
    if (stride === 1) {
      lines.push(`${name} = ${rest};`);
      rest = '0';
    } else {
      lines.push(`${name} = Math.floor((${rest} + 0.5) / ${stride});`);
      rest = `${rest} - ${name} * ${stride}`;
    }
  });
  return lines.join(' ');
}
