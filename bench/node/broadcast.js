// WebSockets, by the package ws: what one client says goes to all, itself included.
'use strict';

const { WebSocketServer } = require('ws');
const { HOST, BACKLOG, announce } = require('./lifetime');

const server = new WebSocketServer({ host: HOST, port: 0, backlog: BACKLOG }, () =>
  announce(server.address().port));

server.on('connection', (socket) => {
  socket.on('error', () => socket.terminate());
  socket.on('message', (data, binary) => {
    for (const client of server.clients) client.send(data, { binary });
  });
});
