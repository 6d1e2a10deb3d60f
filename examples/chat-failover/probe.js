// The witness of an outage: a few messages a second at a constant rate, each with a second to be stored. A failed
// one is a failed moment, whatever the users of the other scenario do or wait for.
//
// PROBE_RATE      messages a second; 5 by default
// PROBE_DURATION  how long; 30s by default
// Further settings: see chat-client.js

import exec from 'k6/execution';
import { prepare, sendMessage } from './chat-client.js';

const RATE = Number(__ENV.PROBE_RATE || 5);

export const options = {
  scenarios: {
    probe: {
      executor: 'constant-arrival-rate',
      rate: RATE,
      timeUnit: '1s',
      duration: __ENV.PROBE_DURATION || '30s',
      // A try takes up to 1 s, so this many are under way at most. All exist from the start: one made in the
      // middle of an outage would start late.
      preAllocatedVUs: 2 * RATE,
      maxVUs: 2 * RATE,
      gracefulStop: '2s',
    },
  },
};

export function setup() {
  return prepare(1);
}

export default function (session) {
  const key = `${session.run}-probe-${exec.vu.idInTest}-${exec.vu.iterationInScenario}`;
  sendMessage(session, session.rooms[0], key, 'ProbeSend', { timeout: '1s', discard: true });
}
