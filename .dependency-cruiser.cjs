// The import arrows of docs/architecture.md, and the packages that only one file may import.
const folders = {
  base: [],
  graph: ['base'],
  data: ['base'],
  scheduler: ['graph', 'base'],
  collectives: ['base'],
  protocol: ['scheduler', 'graph', 'data', 'base'],
  worker: ['protocol', 'collectives', 'scheduler', 'data', 'graph', 'base'],
  coordinator: ['protocol', 'scheduler', 'data', 'graph', 'base'],
  cli: ['coordinator', 'worker', 'protocol', 'scheduler', 'collectives', 'data', 'graph', 'base'],
};
const all = Object.keys(folders);
const arrows = all.map((name) => ({
  name: `arrow-${name}`,
  comment: `${name}/ may import ${['itself', ...folders[name]].join(', ')} of our folders`,
  severity: 'error',
  from: { path: `^${name}/` },
  to: {
    path: `^(${[...all, 'test', 'bench', 'examples', 'deploy'].join('|')})/`,
    pathNot: `^(${[name, ...folders[name]].join('|')})/`,
  },
}));
const throughIndex = all.map((name) => ({
  name: `index-${name}`,
  comment: `other folders reach ${name}/ through its index.ts (or that of a folder inside it)`,
  severity: 'error',
  from: { pathNot: [`^${name}/`, '^(test|bench|examples)/'] },
  to: { path: `^${name}/`, pathNot: [`^${name}/index\\.ts$`, `^${name}/.+/index\\.ts$`] },
}));
const only = (pkg, file) => ({
  name: `only-${pkg}`,
  comment: `${pkg} is imported in ${file} alone`,
  severity: 'error',
  from: { pathNot: [`^${file.replaceAll('.', '\\.')}$`, '^(test|bench|examples)/'] },
  to: { path: `^node_modules/${pkg}/` },
});
const within = (pkg, folder) => ({
  ...only(pkg, ''),
  comment: `${pkg} is imported in ${folder} alone`,
  from: { pathNot: [`^${folder}`, '^(test|bench|examples)/'] },
});
module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    {
      name: 'no-orphan-types',
      severity: 'error',
      comment: 'dead file',
      from: {
        orphan: true,
        pathNot: ['^(test|bench|examples)/', '\\.d\\.ts$', 'assembly/', '^cli/submit/resolve-hook'],
      },
      to: {},
    },
    ...arrows,
    ...throughIndex,
    only('zeromq', 'collectives/transport/zeromq.ts'),
    within('onnxruntime-node', 'worker/engine/onnxruntime/'),
    only('gpu\\.js', 'worker/engine/gpujs/library.ts'),
    only('webgpu', 'worker/engine/adapters/webgpu.ts'),
    only('koffi', 'collectives/transport/mapping.ts'),
    only('bullmq', 'coordinator/queue/bullmq.ts'),
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^dist/|^\\.build/|/assembly/)' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
    },
  },
};
