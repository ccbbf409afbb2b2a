// The HTTP servers: node http.js uvicorn_hello|fastapi_json|aiohttp_hello
'use strict';

const http = require('http');
const { HOST, BACKLOG, announce } = require('./lifetime');

const hello = (request, response) => {
  response.setHeader('Content-Type', 'text/plain');
  response.end('Hello, world!');
};

const json = (request, response) => {
  const url = new URL(request.url, 'http://localhost');
  const id = Number(url.pathname.split('/')[2]);
  const body = { id, name: `item ${id}`, price: id / 4, tags: ['a', 'b', 'c'] };
  response.setHeader('Content-Type', 'application/json');
  response.end(JSON.stringify(body));
};

const server = http.createServer(process.argv[2] === 'fastapi_json' ? json : hello);
server.listen({ host: HOST, port: 0, backlog: BACKLOG }, () => announce(server.address().port));
