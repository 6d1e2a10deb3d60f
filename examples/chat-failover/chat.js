// Users of a chat: each writes a message, reads the room, and thinks.
//
// It says what one user does and no more: how many there are, and for how long, is the LoadTest's vus and duration,
// or `k6 run --vus 10 --duration 30s chat.js`.
//
// THINK_TIME  mean pause between two turns of a user, in seconds; 1 by default
// Further settings: see chat-client.js

import { check, sleep } from 'k6';
import exec from 'k6/execution';
import { Counter } from 'k6/metrics';
import { listMessages, prepare, sendMessage } from './chat-client.js';

const THINK_TIME = Number(__ENV.THINK_TIME || 1);
const ROOMS = 5;

// Messages that the server has said it stored: none of them may be missing afterwards.
const acknowledged = new Counter('messages_acknowledged');

export function setup() {
  return prepare(ROOMS);
}

export default function (session) {
  const vu = exec.vu.idInTest;
  const room = session.rooms[vu % session.rooms.length];
  const key = `${session.run}-${vu}-${exec.vu.iterationInScenario}`;

  const sent = sendMessage(session, room, key, 'SendMessage');
  const stored = check(sent, { 'message stored': (r) => r.status === 201 || r.status === 200 });
  if (stored) acknowledged.add(1);

  const listed = listMessages(session, room, 'ListMessages');
  check(listed, { 'messages listed': (r) => r.status === 200 && r.json('messages.0.id') !== undefined });

  // Even spread from half to one and a half: users do not act in step.
  sleep(THINK_TIME * (0.5 + Math.random()));
}
