export * from './control/gen/control_pb.js';
export * from './control/service.js';
export * from './job/optimizer.js';
export * from './job/spec.js';
export * from './job/state.js';
export * from './run/plan.js';
export * from './validation.js';
