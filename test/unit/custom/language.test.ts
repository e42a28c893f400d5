import t from 'tap';
import { KernelError, parseKernel, runKernel } from '../../../graph/index.js';

const extents = new Set(['x_size', 'x_0', 'x_1', 'y_size']);
const constants = new Set(['slope', 'page_size', ...extents]);
const parse = (source: string) =>
  parseKernel({ operator: 'my.ops.Test', title: 'forward', source, constants, extents, arrays: 2 });

function run(source: string, x: readonly number[], more: Readonly<Record<string, number>> = {}): number[] {
  const arrays = [Float64Array.from(x), Float64Array.of(10, 20, 30)];
  return [
    ...runKernel('my.ops.Test', parse(source), {
      arrays,
      constants: { slope: 0.5, x_size: x.length, x_0: x.length, y_size: x.length, ...more },
      size: x.length,
    }),
  ];
}

/** Bodies that have to be refused, with what the message has to say. */
const refused: readonly (readonly [string, RegExp])[] = [
  ["require('fs'); return 1;", /does nothing/],
  ["return require('fs');", /nothing but functions of Math/],
  ['return globalThis;', /"globalThis" is nothing that a kernel knows/],
  ['return process.exit(1);', /nothing but functions of Math/],
  ['return globalThis.process;', /"globalThis" is nothing/],
  ['return x.constructor;', /an array has elements only/],
  ["return x['constructor'];", /is no number/],
  ["return x[0]['constructor'];", /no element of an array/],
  ["return x['__proto__'];", /is no number/],
  ['return Math.constructor;', /Math\.PI/],
  ["return Math.constructor('return 1')();", /nothing but functions of Math/],
  ["return Math['constructor'](0);", /nothing but functions of Math/],
  ['return Math.random();', /nothing but functions of Math/],
  ['return Math.toString();', /nothing but functions of Math/],
  ['return Math.hasOwnProperty(1);', /nothing but functions of Math/],
  ['return this;', /this expression is not in the language/],
  ['return this.constants;', /no element of an array/],
  ['return this.constants.constructor;', /there is no this\.constants\.constructor/],
  ["return this.constants['__proto__'];", /there is no this\.constants\.__proto__/],
  ['return this.thread.constructor;', /this\.thread\.x would be accepted/],
  ['return this.thread.y;', /this\.thread\.x would be accepted/],
  ['return this.constructor.constructor(0);', /nothing but functions of Math/],
  ['return (() => 1)();', /nothing but functions of Math/],
  ['return (function () { return 1; })();', /nothing but functions of Math/],
  ['function g() { return 1; } return 1;', /function declaration/],
  ['class A {} return 1;', /class declaration/],
  ['return `${x[0]}`;', /template literal/],
  ['return x`a`;', /tagged template/],
  ["return 'text';", /is no number/],
  ['return 1n;', /is no number/],
  ['return /a/;', /is no number/],
  ['return true;', /is no number/],
  ['return null;', /is no number/],
  ['return undefined;', /"undefined" is nothing/],
  ['return NaN;', /"NaN" is nothing/],
  ['return Infinity;', /"Infinity" is nothing/],
  ['return 1e999;', /is no number/],
  ['return new Date();', /new expression/],
  ["return import('fs');", /import expression/],
  ['return import.meta;', /not valid|import\.meta|outside/i],
  ['return new.target;', /meta property/],
  ['return [1, 2];', /array expression/],
  ['return { a: 1 };', /object expression/],
  ['return (1, 2);', /sequence expression/],
  ['return x?.[0];', /chain expression/],
  ['return typeof x;', /"typeof"/],
  ['return void 0;', /"void"/],
  ['return delete x[0];', /"delete"/],
  ['return ~x[0];', /"~"/],
  ['return x[0] | 1;', /"\|" gives no number/],
  ['return x[0] ?? 1;', /logical expression/],
  ["return 'a' in x;", /"in" gives no number/],
  ['return x instanceof x;', /"instanceof" gives no number/],
  ['return x;', /"x" is an array/],
  ['return x[x];', /"x" is an array/],
  ['return x[0] > 1;', /">" gives no number/],
  ['return x[0] ? 1 : 2;', /no condition/],
  ['if (x[0]) { return 1; } return 2;', /no condition/],
  ['return (x[0] > 0) === (x[1] > 0) ? 1 : 2;', /">" gives no number/],
  ['return arguments[0];', /"arguments" is nothing/],
  ['let eval_ = eval; return 1;', /"eval" is nothing/],
  ['let Math = 1; return Math;', /cannot be a name/],
  ['let __proto__ = 1; return __proto__;', /cannot be a name/],
  ['let \\u0061\\u00e9 = 1; return 1;', /cannot be a name/],
  ['let a = 1; let a = 2; return a;', /already been declared|declared already/],
  ['let a = 1; if (a > 0) { let a = 2; return a; } return a;', /declared already/],
  ['let x = 1; return x;', /already been declared|declared already/],
  ['return b; let b = 1;', /"b" is nothing/],
  ['let a; return a;', /has a first value/],
  ['var a = 1; return a;', /var is not/],
  ['let [a] = 1; return a;', /array pattern/],
  ['let { a } = 1; return a;', /object pattern/],
  ['x[0] = 1; return 1;', /changes nothing but its own locals/],
  ['x = 1; return 1;', /changes nothing but its own locals/],
  ['this.thread.x = 1; return 1;', /changes nothing but its own locals/],
  ['x[0]++; return 1;', /changes nothing but its own locals/],
  ['globalThis.a = 1; return 1;', /changes nothing but its own locals/],
  ['const a = 1; a = 2; return a;', /const keeps its value/],
  ['let a = 1; a ||= 2; return a;', /"\|\|=" is not/],
  ['let a = 1; let b = a = 2; return b;', /assignment expression/],
  ['let a = 1; return a++;', /update expression/],
  ['while (true) {} return 1;', /while statement/],
  ['do {} while (true); return 1;', /do while statement/],
  ['for (;;) {} return 1;', /declares its counter/],
  ['for (let i = 0; ; i++) {} return 1;', /compares its counter/],
  ['for (let i = 0; i < 3; ) {} return 1;', /moves its counter/],
  ['for (let i = 0; i < 3; i--) {} return 1;', /moves away/],
  ['for (let i = 0; i > 3; i++) {} return 1;', /moves away/],
  ['for (let i = 0; i < 3; i += 0) {} return 1;', /a step is a number above 0/],
  ['for (let i = 0; i < 3; i += -1) {} return 1;', /a step is a number above 0/],
  ['for (let i = 0; i < 3; i += this.constants.slope) {} return 1;', /a step is a number above 0/],
  // an attribute, which may be 0, whatever it is called
  ['for (let i = 0; i < 3; i += this.constants.page_size) {} return 1;', /a step is a number above 0/],
  ['for (let i = 0; i < 3; i *= 2) {} return 1;', /moves its counter/],
  ['for (let i = 0; i < x[0]; i++) {} return 1;', /bounds of a loop stand still/],
  ['for (let i = x[0]; i < 3; i++) {} return 1;', /bounds of a loop stand still/],
  ['const n = x[0]; for (let i = 0; i < n; i++) {} return 1;', /bounds of a loop stand still/],
  ['let n = 3; for (let i = 0; i < n; i++) { n += 1; } return 1;', /bounds of a loop stand still/],
  ['for (let i = 0; i < i + 1; i++) {} return 1;', /does not move with its counter/],
  ['for (let i = 0; i < 3; i++) { i = 0; } return 1;', /counter keeps its value/],
  ['for (let i = 0, j = 0; i < 3; i++) {} return 1;', /declares its counter/],
  ['for (const i of x) {} return 1;', /for of statement/],
  ['for (const i in x) {} return 1;', /for in statement/],
  ['break; return 1;', /Unsyntactic|loop/],
  ['a: for (let i = 0; i < 3; i++) { continue a; } return 1;', /labeled statement/],
  ['switch (x[0]) {} return 1;', /switch statement/],
  ['try { return 1; } catch {} return 2;', /try statement/],
  ['throw x; return 1;', /throw statement/],
  ['debugger; return 1;', /debugger statement/],
  ['with (x) { return 1; } return 2;', /with statement|strict/],
  ['return 1; return 2;', /never reached/],
  ['return;', /returns a number/],
  ['let a = 1;', /does not return a number on every way/],
  ['if (x[0] > 1) { return 1; }', /does not return a number on every way/],
  ['for (let i = 0; i < 3; i++) { return 1; }', /does not return a number on every way/],
  ['return Math.max(1);', /takes 2 operands/],
  ['return Math.max(...x);', /takes 2 operands|spread/],
  ['return Math.abs?.(1);', /chain expression/],
  ['return this.constants.gamma;', /there is no this\.constants\.gamma; .* slope, page_size, x_size/],
  ['return x[0', /Unexpected token/],
];

t.test('a kernel cannot say', (t) => {
  for (const [body, message] of refused) t.throws(() => parse(`function (x, w) { ${body} }`), message, body);
  t.throws(() => parse('(x) => x[0]'), /plain function/);
  t.throws(() => parse('async function (x) { return x[0]; }'), /plain function/);
  t.throws(() => parse('function* (x) { return x[0]; }'), /plain function/);
  t.throws(() => parse('x'), /plain function/);
  t.throws(() => parse('function (x) { return x[0]; }, process.exit(1)'), /plain function/);
  t.throws(() => parse('function (x) { return x[0]; } process.exit(1)'), /something behind/);
  t.throws(() => parse('function (x) { return x[0]; }(1)'), /plain function/);
  t.throws(() => parse('function (x = process.exit(1)) { return x[0]; }'), /assignment pattern/);
  t.throws(() => parse('function (...x) { return 1; }'), /rest element/);
  t.throws(() => parse('function ({ x }) { return 1; }'), /object pattern/);
  t.throws(() => parse('function (x, w, more) { return 1; }'), /takes 3 arrays; at most 2/);
  t.throws(() => parse('function (x, x) { return x[0]; }'), /already|clash/);
  t.throws(() => parse(`function (x) { return ${'-('.repeat(200)}1${')'.repeat(200)}; }`), /nested/);
  t.throws(() => parse(`function (x) { return ${'- '.repeat(20_000)}1; }`), /nested/);
  t.throws(() => parse(`function (x) { return 1; /* ${' '.repeat(70_000)} */ }`), /characters/);
  t.end();
});

t.test('the message has the place and the line', (t) => {
  const source = 'function (x) {\n  const a = x[0];\n  return a + fetch(1);\n}';
  try {
    parse(source);
    t.fail('it is refused');
  } catch (error) {
    t.ok(error instanceof KernelError);
    const { message, ids } = error as KernelError;
    t.match(message, /^operator my\.ops\.Test: forward, line 3, column 14: a kernel calls nothing but/);
    t.match(message, /\n {6}return a \+ fetch\(1\);\n {17}\^$/);
    t.match(ids, { operator: 'my.ops.Test', line: 3, column: 14 });
  }
  t.end();
});

t.test('a kernel means what JavaScript means by it', (t) => {
  const x = [3, -1.5, 0, 7];
  const cases: readonly (readonly [string, readonly number[]])[] = [
    ['return x[this.thread.x] * this.constants.slope;', [1.5, -0.75, 0, 3.5]],
    [
      'return -x[this.thread.x] ** 2 ** 0 - - 1;'.replace('-x', '(-x').replace(' **', ') **'),
      [-2, 2.5, 1, -6],
    ],
    ['return x[this.thread.x] % 2 + 5 % -3;', [3, 0.5, 2, 3]],
    [
      'return x[this.thread.x] > 0 && x[this.thread.x] !== 7 || !(x[this.thread.x] <= 0 || true === true) ? 1 : 2;'.replace(
        'true === true',
        '1 === 1',
      ),
      [1, 2, 2, 2],
    ],
    ['let s = 0; for (let i = 0; i < this.constants.x_size; i++) s += x[i]; return s;', [8.5, 8.5, 8.5, 8.5]],
    ['let s = 0; for (let i = 3; i >= 0; i -= 2) { s = s * 10 + i; } return s;', [31, 31, 31, 31]],
    [
      'let s = 0; for (let i = 0; i <= this.thread.x; i++) { if (i === 1) continue; if (i === 3) break; s += w[i % 3]; } return s;',
      [10, 10, 40, 40],
    ],
    ['let s = 1; s++; s *= 3; s /= 2; s -= 1; s %= 2; return s;', [0, 0, 0, 0]],
    [
      'let s = 0; for (let i = 0; i < 2; i++) { const k = i; s += k; } for (let i = 0; i < 2; i++) { const k = 2 * i; s += k; } return s;',
      [3, 3, 3, 3],
    ],
    [
      'if (x[this.thread.x] < 0) { return Math.abs(x[this.thread.x]); } else if (x[this.thread.x] > 5) return Math.min(5, 6); else { return Math.pow(2, x[this.thread.x]); }',
      [8, 1.5, 1, 5],
    ],
    ["return this.constants['slope'] + Math.PI * 0;", [0.5, 0.5, 0.5, 0.5]],
    ['return 0x10 + 1_000 + .5 + 1e3;', [2016.5, 2016.5, 2016.5, 2016.5]],
  ];
  for (const [body, want] of cases) t.same(run(`function (x, w) { ${body} }`, x), want, body);
  t.end();
});

t.test('reading beside an array is told, not guessed', (t) => {
  t.throws(
    () => run('function (x) { return x[this.thread.x + 1]; }', [1, 2]),
    /cell 1 reads x\[2\], and x has 2 elements/,
  );
  t.throws(() => run('function (x) { return x[-1]; }', [1]), /reads x\[-1\]/);
  t.throws(() => run('function (x) { return x[0.5]; }', [1]), /reads x\[0\.5\]/);
  t.end();
});
