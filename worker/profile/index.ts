export { profileModel } from './profile.js';
export { ProfileRun, type ProfileHost } from './run.js';
