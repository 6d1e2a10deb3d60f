// Users on WebSockets: each joins a room, writes to it, and waits for its own message to come back, by way of the
// database and Redis.
//
// WS_MESSAGES  messages of a user before it disconnects; 10 by default
// WS_PAUSE_MS  pause between two; 500 by default
// Further settings: see chat-client.js

import { check } from 'k6';
import exec from 'k6/execution';
import { Counter, Trend } from 'k6/metrics';
import { WebSocket } from 'k6/websockets';
import { BASE_URL, prepare } from './chat-client.js';

const MESSAGES = Number(__ENV.WS_MESSAGES || 10);
const PAUSE_MS = Number(__ENV.WS_PAUSE_MS || 500);
const ANSWER_MS = 5000;
const ROOMS = 20;

// Two Counters and no Rate: Rates of several runners cannot be added up.
const sent = new Counter('ws_messages_sent');
const acknowledged = new Counter('ws_messages_acknowledged');
const received = new Counter('ws_messages_received');
const failed = new Counter('ws_messages_failed');
const ackTime = new Trend('ws_ack_duration', true);
const fanoutTime = new Trend('ws_fanout_duration', true);

export function setup() {
  return prepare(ROOMS);
}

export default function (session) {
  const vu = exec.vu.idInTest;
  const room = session.rooms[vu % session.rooms.length];
  const url = `${BASE_URL.replace(/^http/, 'ws')}/ws?token=${session.token}`;
  // The name keeps the token, a part of the URL, out of the metrics.
  const socket = new WebSocket(url, null, { tags: { name: 'WsSession' } });
  const turn = `${session.run}-ws-${vu}-${exec.vu.iterationInScenario}`;
  const state = { number: 0, nonce: '', sentAt: 0, acked: false, back: false, timer: 0, reached: 0 };

  function next() {
    if (state.number === MESSAGES) {
      socket.close();
      return;
    }
    state.nonce = `${turn}-${state.number++}`;
    state.acked = state.back = false;
    state.sentAt = Date.now();
    sent.add(1);
    socket.send(JSON.stringify({ op: 'message', room, body: `message ${state.nonce}`, nonce: state.nonce }));
    state.timer = setTimeout(() => giveUp('no answer in time'), ANSWER_MS);
  }

  function giveUp(why) {
    if (!state.timer) return;
    clearTimeout(state.timer);
    state.timer = 0;
    failed.add(1);
    console.warn(`${state.nonce}: ${why}`);
    socket.close();
  }

  function advance() {
    if (!state.acked || !state.back || !state.timer) return;
    clearTimeout(state.timer);
    state.timer = 0;
    state.reached++;
    setTimeout(next, PAUSE_MS);
  }

  socket.onopen = () => socket.send(JSON.stringify({ op: 'join', room }));
  socket.onerror = (e) => giveUp(e.error);
  socket.onclose = () => {
    giveUp('the connection was closed');
    check(state, { 'all messages came back': (s) => s.reached === MESSAGES });
  };
  socket.onmessage = ({ data }) => {
    const event = JSON.parse(data);
    if (event.op === 'joined') {
      next();
    } else if (event.op === 'ack' && event.nonce === state.nonce) {
      state.acked = true;
      acknowledged.add(1);
      ackTime.add(Date.now() - state.sentAt);
      advance();
    } else if (event.op === 'message' && event.nonce === state.nonce && !state.back) {
      state.back = true;
      received.add(1);
      fanoutTime.add(Date.now() - state.sentAt);
      advance();
    } else if (event.op === 'error') {
      giveUp(event.message);
    }
  };
}
