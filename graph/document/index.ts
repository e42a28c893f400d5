export { operatorsDocument } from './operators.js';
