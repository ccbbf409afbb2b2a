// The certificate of the servers that speak TLS, the same that the Python loops show.
'use strict';

const fs = require('fs');
const path = require('path');

const certs = path.join(__dirname, '..', 'certs');

exports.credentials = () => ({
  cert: fs.readFileSync(path.join(certs, 'localhost.crt')),
  key: fs.readFileSync(path.join(certs, 'localhost.key')),
  minVersion: 'TLSv1.3',
  noDelay: true,
});
