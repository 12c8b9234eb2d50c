// A certified OpenID Provider in memory on a free loopback port, with switches for the tests.
//
//   node provider.mjs '{"par": "required"}'
//
// Its first line on stdout contains its address. It exits when its stdin closes, so it can't outlive
// the run that started it. Tests control it through a separate port, so that its main port behaves
// like a deployed provider's.

import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { Provider } from 'oidc-provider';

const settings = {
  accessTokenTtl: 3600,
  idTokenTtl: 3600,
  deviceCodeTtl: 600,
  par: 'off', // 'off' | 'offered' | 'required' (RFC 9126)
  revocation: true,
  jwtAccessTokens: false, // for a protected resource (RFC 8707)
  tls: null, // { cert, key }: use https; a change applies to new connections
  name: 'localhost', // the issuer's host name when using https
  idTokenAlg: 'RS256',
  down: false, // cut every connection
  token: 'answer', // 'refuse' | 'cut' | 'hang' | a number: delay the response by this many milliseconds
  hold: false, // show a page instead of redirecting to the client
  exactUri: null, // the redirect URI of the client `exact`, which must match including its port
  groups: undefined, // the claim `groups` of ID tokens
  rotated: false, // publish a different key instead of the signing keys
  cookies: 0, // bytes of cookies to set for this host, as if its other servers had set them
  ...JSON.parse(process.argv[2] ?? '{}'),
};

const native = (more) => ({
  application_type: 'native',
  // RFC 8252 §7.3: registered without a port, so any port is accepted.
  redirect_uris: ['127.0.0.1', '[::1]', 'localhost'].map((host) => `http://${host}/callback`),
  response_types: ['code'],
  grant_types: [
    'authorization_code',
    'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code',
  ],
  id_token_signed_response_alg: settings.idTokenAlg,
  ...more,
});

// A throw-away secret with characters that RFC 6749 §2.3.1 requires to be form-urlencoded for Basic.
const SECRET = 'a:b%2Bc+d&e=f';

const clients = [
  native({ client_id: 'hallpass', token_endpoint_auth_method: 'none' }),
  native({ client_id: 'hallpass-basic', client_secret: SECRET, token_endpoint_auth_method: 'client_secret_basic' }),
  // As registered for kubelogin: without a path after the port.
  native({
    client_id: 'kubelogin',
    client_secret: SECRET,
    token_endpoint_auth_method: 'client_secret_basic',
    redirect_uris: ['http://localhost:8000', 'http://localhost:18000'],
  }),
  native({ client_id: 'hallpass-post', client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' }),
  native({ client_id: 'pushing', token_endpoint_auth_method: 'none', require_pushed_authorization_requests: true }),
  native({ client_id: 'proving', token_endpoint_auth_method: 'none', dpop_bound_access_tokens: true }),
  // RFC 8252 §7.3 applies to native clients. This provider compares a web client's URI exactly.
  ...(settings.exactUri ? [native({
    client_id: 'exact',
    application_type: 'web',
    token_endpoint_auth_method: 'none',
    redirect_uris: [settings.exactUri],
  })] : []),
  // A resource server, which may introspect every token (RFC 7662).
  { client_id: 'resource-server', client_secret: SECRET, redirect_uris: [], response_types: [], grant_types: [] },
];

const requests = [];
const issued = [];
const held = [];

const server = settings.tls ? createTlsServer(settings.tls) : createServer();
await listening(server);
const { port } = server.address();
const issuer = settings.tls ? `https://${settings.name}:${port}` : `http://127.0.0.1:${port}`;

// One key for each algorithm that hallpass supports.
const keys = [
  ['RS256', 'rsa', { modulusLength: 2048 }],
  ['RS384', 'rsa', { modulusLength: 2048 }],
  ['RS512', 'rsa', { modulusLength: 2048 }],
  ['PS256', 'rsa', { modulusLength: 2048 }],
  ['PS384', 'rsa', { modulusLength: 2048 }],
  ['PS512', 'rsa', { modulusLength: 2048 }],
  ['ES256', 'ec', { namedCurve: 'P-256' }],
  ['ES384', 'ec', { namedCurve: 'P-384' }],
  ['EdDSA', 'ed25519', {}],
].map(([alg, type, options]) => ({
  ...generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: `the ${alg} one`,
}));

const another = { ...createPublicKey(generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey)
  .export({ format: 'jwk' }), alg: 'RS256', use: 'sig', kid: 'another one' };

const provider = new Provider(issuer, {
  clients,
  jwks: { keys },
  enabledJWA: { idTokenSigningAlgValues: keys.map((key) => key.alg) },
  claims: {
    openid: ['sub', 'groups'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username'],
  },
  cookies: { keys: ['only for this test'] },
  features: {
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: settings.revocation },
    resourceIndicators: {
      enabled: settings.jwtAccessTokens,
      defaultResource: () => `${issuer}/api`,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: '', audience: `${issuer}/api`, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } },
      }),
    },
    pushedAuthorizationRequests: {
      enabled: settings.par !== 'off',
      requirePushedAuthorizationRequests: settings.par === 'required',
    },
  },
  // Functions, because tests change lifetimes while the server is running.
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
      groups: settings.groups,
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
    if (ctx.body?.id_token) issued.push({ kind: 'id_token', value: ctx.body.id_token });
    const location = ctx.response.get('location') ?? '';
    if (settings.hold && location.includes('/callback?')) {
      held.push(location);
      ctx.remove('location');
      ctx.status = 200;
      ctx.body = 'Go on to the application.';
    }
  }
});

for (const kind of ['access_token', 'refresh_token', 'authorization_code', 'device_code']) {
  // For opaque tokens, the identifier is the value that the client gets.
  provider.on(`${kind}.saved`, (token) => issued.push({ kind, value: token.jti, client: token.clientId }));
}

const answer = provider.callback();
server.on('request', (request, response) => {
  const { pathname, searchParams } = new URL(request.url, issuer);
  const atToken = pathname === '/token' ? settings.token : 'answer';
  if (pathname === '/auth' && settings.cookies) response.setHeader('set-cookie', manyCookies(settings.cookies));

  if (settings.rotated && pathname === '/jwks') {
    response.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: [another] }));
  } else if (settings.down || atToken === 'cut') {
    request.socket.destroy();
  } else if (pathname === '/ahead') {
    response.setHeader('content-type', 'text/html').end(pageAhead(searchParams.get('of')));
  } else if (atToken === 'refuse') {
    response.writeHead(400, { 'content-type': 'application/json' }).end('{"error":"invalid_grant"}');
  } else if (atToken !== 'hang') {
    setTimeout(() => answer(request, response), Number(atToken) || 0);
  }
});

const control = createServer(async (request, response) => {
  if (request.method === 'PUT') {
    // Invalidate access tokens without their grants. The revocation endpoint would revoke both.
    const { dead = [], ...changes } = JSON.parse(await text(request));
    for (const token of dead) await (await provider.AccessToken.find(token))?.destroy();
    Object.assign(settings, changes);
    if (changes.tls) server.setSecureContext(changes.tls);
  }
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ settings, requests, issued, held }));
});
await listening(control);

process.stdin.on('end', () => process.exit(0)).resume();
console.log(JSON.stringify({ issuer, control: `http://127.0.0.1:${control.address().port}`, secret: SECRET }));

function manyCookies(bytes) {
  const cookies = [];
  for (let left = bytes; left > 0; left -= 2000) {
    cookies.push(`other${cookies.length}=${'x'.repeat(Math.min(left, 2000))}; Path=/`);
  }
  return cookies;
}

/** A page that makes the browser load another page and its icon without any user action. */
function pageAhead(url) {
  const rules = { prefetch: [{ urls: [url], eagerness: 'immediate' }] };
  const href = url.replaceAll('&', '&amp;');
  return `<!DOCTYPE html><title>ahead</title><link rel="prefetch" href="${href}">
    <img src="${new URL('/favicon.ico', url)}"><img src="${href}"><iframe src="${href}"></iframe>
    <script type="speculationrules">${JSON.stringify(rules)}</script>`;
}

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
