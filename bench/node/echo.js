// The echo servers: node echo.js echo_protocol|echo_active|echo_unix|echo_tls|echo_udp [PATH]
'use strict';

const dgram = require('dgram');
const net = require('net');
const tls = require('tls');
const { HOST, BACKLOG, announce, forgive } = require('./lifetime');
const { credentials } = require('./certificate');

const [, , kind, argument] = process.argv;

const echo = (socket) => {
  forgive(socket);
  socket.on('data', (data) => socket.write(data));
};

const listen = (server) =>
  server.listen({ host: HOST, port: 0, backlog: BACKLOG }, () => announce(server.address().port));

const servers = {
  echo_unix: () =>
    net.createServer(echo).listen({ path: argument, backlog: BACKLOG }, () => announce(argument)),
  echo_tls: () => listen(tls.createServer(credentials(), echo)),
  echo_udp: () => {
    const socket = dgram.createSocket('udp4');
    socket.on('message', (data, from) => socket.send(data, from.port, from.address));
    socket.bind({ address: HOST, port: 0 }, () => announce(socket.address().port));
  },
};

const plain = () => listen(net.createServer({ noDelay: true }, echo));

(servers[kind] || plain)();
