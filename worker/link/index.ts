export { listenForProbe, measureLink, messagesWithin, rateOf, type ListeningProbe } from './probe.js';
