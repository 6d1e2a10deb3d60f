// What the scripts of this folder share: how to log in, make rooms, and write and read messages.
//
// CHAT_BASE_URL   where chat answers, or else BASE_URL; http://127.0.0.1:8080 by default
// TENANT_ID       tenant of the rooms that are made; "default" by default
// SMOKE_PASSWORD  password of the users load-test-user-…, if the server asks for one

import http from 'k6/http';

export const BASE_URL = (__ENV.CHAT_BASE_URL || __ENV.BASE_URL || 'http://127.0.0.1:8080').replace(/\/+$/, '');
const TENANT_ID = __ENV.TENANT_ID || 'default';
const PASSWORD = __ENV.SMOKE_PASSWORD || 'load-test';

// What counts as expected: all else has expected_response="false" in k6's metrics.
http.setResponseCallback(http.expectedStatuses({ min: 200, max: 299 }));

// Every request has a name, so that its series do not multiply with the rooms. chat's own ledger counts by the
// same name.
function post(path, body, name, { token, timeout = '5s', key, discard = false } = {}) {
  const headers = { 'Content-Type': 'application/json', 'X-Request-Name': name, 'X-Tenant-Id': TENANT_ID };
  if (token) headers.Authorization = `Bearer ${token}`;
  if (key) headers['Idempotency-Key'] = key;
  const responseType = discard ? 'none' : 'text';
  return http.post(`${BASE_URL}${path}`, JSON.stringify(body), { headers, timeout, responseType, tags: { name } });
}

function must(response, what) {
  if (response.error_code || response.status >= 300) {
    throw new Error(`failed to ${what}: ${response.status} ${response.error || response.body}`);
  }
  return response.json();
}

// For setup(): a user, rooms, and a word that tells this run's messages from those of all others.
export function prepare(roomCount) {
  const run = `${Date.now().toString(36)}${Math.random().toString(36).slice(2, 8)}`;
  const credentials = { name: 'load-test-user-1', password: PASSWORD };
  const { token } = must(post('/api/v1/auth/login', credentials, 'Login'), 'log in');
  const rooms = [];
  for (let i = 0; i < roomCount; i++) {
    const room = { name: `load test ${run} ${i}` };
    rooms.push(must(post('/api/v1/rooms', room, 'CreateRoom', { token }), 'make a room').id);
  }
  console.log(`the keys of this run's messages begin with ${run}`);
  return { run, token, rooms };
}

// `key` names the message: the server stores it once, however often it is sent.
export function sendMessage(session, room, key, name, options = {}) {
  const body = { body: `message ${key}` };
  return post(`/api/v1/rooms/${room}/messages`, body, name, { token: session.token, key, ...options });
}

export function listMessages(session, room, name, options = {}) {
  return post(`/api/v1/rooms/${room}/messages/list`, { limit: 20 }, name, { token: session.token, ...options });
}
