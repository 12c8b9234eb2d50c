// The same provider with its default settings and one registered client.
//
// Its features, token lifetimes and pages are all defaults.

import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const server = createServer();
await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'hallpass',
    application_type: 'native',
    token_endpoint_auth_method: 'none',
    redirect_uris: ['http://127.0.0.1/callback'],
    grant_types: ['authorization_code', 'refresh_token'],
  }],
});
server.on('request', provider.callback());

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer }));
