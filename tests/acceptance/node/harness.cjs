// Runs one documented sample as it is printed. Around it stands only what the documentation leaves to the reader:
// createKallglotSession() as a POST, an Express app, and a browser's microphone where the sample asks for one.
'use strict';
const fs = require('node:fs');
const express = require('express');
const twilio = require('twilio');
const RealWebSocket = require('ws');

const { KALLGLOT_URL, KALLGLOT_KEY, SAMPLE } = process.env;
const say = (kind, value) => process.stdout.write(JSON.stringify({ kind, value }) + '\n');

async function createKallglotSession(body) {
  const response = await fetch(`${KALLGLOT_URL}/v1/sessions`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${KALLGLOT_KEY}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(body),
  });
  const answer = await response.json();
  say('created', { status: response.status, deprecation: response.headers.get('deprecation'), body: answer });
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer;
}

class WebSocket extends RealWebSocket {
  constructor(address) {
    super(address);
    this.addEventListener('message', (event) => {
      const data = JSON.parse(event.data);
      if (data.type === 'session.ready') say('ready', data);
    });
  }
}

const placedCalls = [];
const scope = {
  createKallglotSession,
  WebSocket,
  VoiceResponse: twilio.twiml.VoiceResponse,
  twiml: twilio.twiml,
  twilioClient: { calls: { create: async (call) => (placedCalls.push(call), say('called', call), call) } },
  navigator: { mediaDevices: { getUserMedia: async () => ({ microphone: true }) } },
  playAudio: (payload) => say('played', payload.length),
  console: {
    log: (...words) => say('log', words.join(' ')),
    error: (...words) => say('error', words.join(' ')),
  },
};

const app = express();
app.use(express.urlencoded({ extended: false }));
app.use(express.json());

async function main() {
  const source = fs.readFileSync(SAMPLE, 'utf8');
  const after = process.env.AFTER ?? '';
  const AsyncFunction = (async () => {}).constructor;
  await new AsyncFunction('app', 'say', ...Object.keys(scope), `${source}\n${after}`)(
    app,
    say,
    ...Object.values(scope),
  );
  if (app._router?.stack.some((layer) => layer.route)) {
    const server = app.listen(0, '127.0.0.1', () => say('listening', server.address().port));
  }
}

main().catch((error) => {
  say('failed', String(error.stack ?? error));
  process.exit(1);
});
