// A certified OpenID Provider in memory on a free loopback port, with switches for the tests.
//
//   node provider.mjs '{"par": "required"}'
//
// Its first line on stdout says where it is. It ends when its stdin does, so it cannot outlive
// the run that started it. What the tests may ask and set lives on a port of its own: the
// provider's own port answers as a deployed one would.

import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const settings = {
  accessTokenTtl: 3600,
  idTokenTtl: 3600,
  deviceCodeTtl: 600,
  par: 'off', // 'off' | 'offered' | 'required' (RFC 9126)
  revocation: true,
  down: false, // every connection is cut
  ...JSON.parse(process.argv[2] ?? '{}'),
};

const native = (more) => ({
  application_type: 'native',
  // RFC 8252 §7.3: registered without a port, so any port is accepted.
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
  grant_types: [
    'authorization_code',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
  ],
  ...more,
});

// Throw-away secrets of a server that lives for one test. They hold the characters that
// RFC 6749 §2.3.1 wants form-urlencoded before Basic.
const SECRET = 'a:b%2Bc+d&e=f';

const clients = [
  native({ client_id: 'hallpass', token_endpoint_auth_method: 'none' }),
  native({ client_id: 'hallpass-basic', client_secret: SECRET, token_endpoint_auth_method: 'client_secret_basic' }),
  native({ client_id: 'hallpass-post', client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' }),
  // A resource server, which may ask about every token (RFC 7662).
  { client_id: 'resource-server', client_secret: SECRET, redirect_uris: [], response_types: [], grant_types: [] },
];

const requests = [];
const issued = [];

const server = createServer();
await listening(server);
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  clients,
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username'],
  },
  cookies: { keys: ['only for this test'] },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: settings.revocation },
    pushedAuthorizationRequests: {
      enabled: settings.par !== 'off',
      requirePushedAuthorizationRequests: settings.par === 'required',
    },
  },
  // Functions, because a test shortens and lengthens lives while the server runs.
  ttl: {
    AccessToken: () => settings.accessTokenTtl,
    IdToken: () => settings.idTokenTtl,
    DeviceCode: () => settings.deviceCodeTtl,
  },
  findAccount: (_ctx, sub) => ({
    accountId: sub,
    claims: () => ({
      sub,
      name: `${sub} of the tests`,
      preferred_username: sub,
      email: `${sub}@people.example`,
      email_verified: true,
    }),
  }),
});

provider.use(async (ctx, next) => {
  const entry = { method: ctx.method, path: ctx.path, query: { ...ctx.query }, status: 0 };
  requests.push(entry);
  try {
    await next();
  } finally {
    entry.status = ctx.status;
    entry.params = { ...ctx.oidc?.params };
    entry.basic = (ctx.get('authorization') ?? '').startsWith('Basic ');
    entry.error = ctx.body?.error;
  }
});

for (const kind of ['access_token', 'refresh_token', 'authorization_code', 'device_code']) {
  // Opaque tokens: the identifier under which it is kept is what the client is given.
  provider.on(`${kind}.saved`, (token) => issued.push({ kind, value: token.jti, client: token.clientId }));
}

const answer = provider.callback();
server.on('request', (request, response) => {
  if (settings.down) request.socket.destroy();
  else answer(request, response);
});

const control = createServer(async (request, response) => {
  if (request.method === 'PUT') {
    // One access token dies, and its grant lives on: the revocation endpoint would end both.
    const { dead = [], ...set } = JSON.parse(await text(request));
    for (const token of dead) await (await provider.AccessToken.find(token))?.destroy();
    Object.assign(settings, set);
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ settings, requests, issued }));
});
await listening(control);

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${control.address().port}`, secret: SECRET }));

function listening(one) {
  return new Promise((resolve, reject) => {
    one.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
}

async function text(stream) {
  let all = '';
  for await (const chunk of stream) all += chunk;
  return all;
}
