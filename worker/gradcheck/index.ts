export { loadCase, type GradcheckCase } from './case.js';
export { gradcheck, type GradcheckResult } from './check.js';
export { CaseError } from './errors.js';
export { LocalTrainer } from './trainer.js';
