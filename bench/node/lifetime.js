// What every server here has in common: it says where it is, and does not outlive a forgotten run.
'use strict';

const LIFETIME_MS = 180000;

exports.HOST = '127.0.0.1';
exports.BACKLOG = 4096;

exports.announce = (...addresses) => {
  process.stdout.write(JSON.stringify({ addresses }) + '\n');
  setTimeout(() => process.exit(), LIFETIME_MS);
};

// A peer that goes away is no reason to end.
exports.forgive = (socket) => socket.on('error', () => socket.destroy());
