export { profileModel } from './profile.js';
