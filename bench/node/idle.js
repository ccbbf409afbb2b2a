// Counts idle connections and tells its memory: node idle.js idle_connection|idle_tls
'use strict';

const fs = require('fs');
const net = require('net');
const tls = require('tls');
const { HOST, BACKLOG, announce, forgive } = require('./lifetime');
const { credentials } = require('./certificate');

const PAGE = 4096;
let accepted = 0;

const memory = () => {
  global.gc();
  const rollup = fs.readFileSync('/proc/self/smaps_rollup', 'latin1');
  let kib = 0;
  for (const match of rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+)/gm)) kib += +match[1];
  const resident = +fs.readFileSync('/proc/self/statm', 'latin1').split(' ')[1] * PAGE;
  return { private: kib * 1024, resident };
};

const idle = (socket) => {
  accepted++;
  forgive(socket);
  socket.on('data', (data) => socket.write(data));
};

const answer = (socket) => {
  forgive(socket);
  socket.on('data', () => socket.write(JSON.stringify({ accepted, ...memory() }) + '\n'));
};

const encrypted = process.argv[2] === 'idle_tls';
const server = encrypted ? tls.createServer(credentials(), idle) : net.createServer(idle);
const control = net.createServer(answer);
server.listen({ host: HOST, port: 0, backlog: BACKLOG }, () =>
  control.listen({ host: HOST, port: 0 }, () =>
    announce(server.address().port, control.address().port)));
