// Hands every connection on to another port: node proxy.js tcp_proxy PORT
'use strict';

const net = require('net');
const { HOST, BACKLOG, announce } = require('./lifetime');

const port = Number(process.argv[3]);

const server = net.createServer({ noDelay: true }, (inner) => {
  const outer = net.connect({ host: HOST, port, noDelay: true });
  for (const socket of [inner, outer]) {
    socket.on('error', () => {
      inner.destroy();
      outer.destroy();
    });
  }
  inner.pipe(outer);
  outer.pipe(inner);
});
server.listen({ host: HOST, port: 0, backlog: BACKLOG }, () => announce(server.address().port));
