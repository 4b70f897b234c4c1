// A certified OAuth 2.0 server for the end-to-end tests, with every client authenticated and every refresh
// token rotated at each use. A control endpoint on the same port does what a user, an administrator or a
// browser would do, and reads what the server has seen.
//
//   POST /control/grants                 a grant with its first tokens, as if a user had just consented
//   POST /control/grants/{id}/revoke     the user withdraws consent
//   POST /control/codes                  an authorization code, as the end of a browser's round trip
//   PUT  /control/clients/{id}           registers a client or changes its secret
//   GET  /control/ledger                 what happened, in order, and how often
//
// It prints `oidc ready http://127.0.0.1:PORT` and ends when its standard input does.

import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Provider } from 'oidc-provider';

import { StrictAdapter } from './strict-adapter.mjs';

const SCOPE = 'openid offline_access';
// On loopback addresses any port is good (RFC 8252 section 7.3): of the command line, of the server, of an application.
const REDIRECT_URIS = ['/callback', '/oauth/callback', '/app'].map((path) => `http://127.0.0.1${path}`);

const { values: options } = parseArgs({
  options: {
    'access-token-ttl': { type: 'string', default: '60' },
    'refresh-token-ttl': { type: 'string', default: '86400' },
    'client-id': { type: 'string', default: 'evergrant' },
    'client-secret': { type: 'string', default: 'first-secret' },
    'client-auth': { type: 'string', default: 'client_secret_post' },
    // How long each exchange takes between reading the refresh token and using it up.
    'account-delay-ms': { type: 'string', default: '0' },
    // The stock adapter, whose use of a refresh token is not atomic.
    racy: { type: 'boolean', default: false },
  },
});

const server = createServer();
// A test may leave a connection idle for longer than the usual five seconds, and then use it again.
server.keepAliveTimeout = 120_000;
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const issuer = `http://127.0.0.1:${server.address().port}`;

const provider = new Provider(issuer, {
  adapter: options.racy ? undefined : StrictAdapter,
  cookies: { keys: [randomBytes(32).toString('hex')] },
  features: {
    clientCredentials: { enabled: true },
    // Pages to sign in and to consent, for a browser.
    devInteractions: { enabled: true },
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: async (_ctx, accountId) => {
    await delay(Number(options['account-delay-ms']));
    return { accountId, claims: () => ({ sub: accountId }) };
  },
  jwks: { keys: [signingKey()] },
  rotateRefreshToken: () => true,
  scopes: ['openid', 'offline_access', 'drive', 'calendar', 'mail'],
  ttl: {
    AccessToken: Number(options['access-token-ttl']),
    AuthorizationCode: 60,
    ClientCredentials: Number(options['access-token-ttl']),
    Grant: Number(options['refresh-token-ttl']),
    IdToken: Number(options['access-token-ttl']),
    RefreshToken: Number(options['refresh-token-ttl']),
  },
});

const ledger = keepLedger();
await registerClient(options['client-id'], options['client-secret']);

const oauth = provider.callback();
server.on('request', (request, response) => {
  if (request.url.startsWith('/control/')) control(request, response);
  else oauth(request, response);
});

process.stdin.resume().on('end', () => process.exit(0));
console.log(`oidc ready ${issuer}`);

async function control(request, response) {
  const answer = (status, body) => {
    response.writeHead(status, { 'content-type': 'application/json' });
    response.end(JSON.stringify(body));
  };
  try {
    const [, , what, id, verb] = request.url.split('/');
    const body = await jsonBody(request);
    switch (`${request.method} ${[what, id && '{id}', verb].filter(Boolean).join('/')}`) {
      case 'POST grants': return answer(200, await issueGrant(body));
      case 'POST grants/{id}/revoke': return answer(200, await revokeGrant(id));
      case 'POST codes': return answer(200, await issueCode(body));
      case 'PUT clients/{id}': return answer(200, await registerClient(id, body.client_secret));
      case 'GET ledger': return answer(200, ledger.report());
      default: return answer(404, { error: `there is no ${request.method} ${request.url}` });
    }
  } catch (error) {
    return answer(500, { error: error.stack });
  }
}

async function jsonBody(request) {
  const chunks = await request.toArray();
  return chunks.length === 0 ? {} : JSON.parse(Buffer.concat(chunks).toString());
}

async function issueGrant({ account = 'user-1' }) {
  const { client, grantId } = await consent(account);
  const tokens = {
    accountId: account, client, grantId, gty: 'authorization_code', scope: SCOPE,
  };
  const refreshToken = await new provider.RefreshToken(tokens).save();
  const accessToken = await new provider.AccessToken(tokens).save();
  return {
    grant_id: grantId,
    access_token: accessToken,
    refresh_token: refreshToken,
    expires_in: Number(options['access-token-ttl']),
  };
}

async function issueCode({ account = 'user-1', redirect_uri: redirectUri, code_challenge: codeChallenge }) {
  const { client, grantId } = await consent(account);
  const code = await new provider.AuthorizationCode({
    accountId: account,
    client,
    codeChallenge,
    codeChallengeMethod: codeChallenge && 'S256',
    grantId,
    gty: 'authorization_code',
    redirectUri,
    scope: SCOPE,
  }).save();
  return { code, grant_id: grantId };
}

async function consent(accountId) {
  const client = await provider.Client.find(options['client-id']);
  const grant = new provider.Grant({ accountId, clientId: client.clientId });
  grant.addOIDCScope(SCOPE);
  return { client, grantId: await grant.save() };
}

async function revokeGrant(grantId) {
  await Promise.all([
    provider.AccessToken.revokeByGrantId(grantId),
    provider.RefreshToken.revokeByGrantId(grantId),
    provider.Grant.adapter.destroy(grantId),
  ]);
  provider.emit('grant.revoked', undefined, grantId);
  return {};
}

async function registerClient(clientId, clientSecret) {
  await provider.Client.adapter.upsert(clientId, {
    application_type: 'native',
    client_id: clientId,
    client_secret: clientSecret,
    grant_types: [
      'authorization_code', 'refresh_token', 'client_credentials',
      'urn:ietf:params:oauth:grant-type:device_code',
    ],
    id_token_signed_response_alg: 'ES256',
    redirect_uris: REDIRECT_URIS,
    response_types: ['code'],
    token_endpoint_auth_method: options['client-auth'],
  });
  return {};
}

function signingKey() {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { ...privateKey.export({ format: 'jwk' }), alg: 'ES256', use: 'sig' };
}

// Tokens appear in the ledger as SHA-256 alone: enough to follow a chain, useless to anyone else.
function keepLedger() {
  const entries = [];
  const record = (event, facts) => entries.push({ seq: entries.length + 1, event, ...facts });

  provider.on('grant.success', (ctx) => record('grant.success', {
    grant_id: ctx.oidc.entities.Grant?.jti,
    grant_type: ctx.oidc.params.grant_type,
    presented: fingerprint(ctx.oidc.params.refresh_token),
    issued: fingerprint(ctx.body.refresh_token),
    access_token: fingerprint(ctx.body.access_token),
  }));
  provider.on('grant.error', (ctx, error) => record('grant.error', {
    grant_id: ctx.oidc?.entities?.Grant?.jti,
    grant_type: ctx.oidc?.params?.grant_type,
    presented: fingerprint(ctx.oidc?.params?.refresh_token),
    error: error.error,
    detail: error.error_detail,
  }));
  provider.on('server_error', (_ctx, error) => record('server_error', { detail: error.stack }));
  provider.on('grant.revoked', (_ctx, grantId) => record('grant.revoked', { grant_id: grantId }));
  provider.on('refresh_token.consumed', (token) => record('refresh_token.consumed', {
    grant_id: token.grantId,
    presented: fingerprint(token.jti),
  }));

  return {
    report() {
      const counts = {};
      for (const { event } of entries) counts[event] = (counts[event] ?? 0) + 1;
      return { counts, entries };
    },
  };
}

function fingerprint(token) {
  return token && createHash('sha256').update(token).digest('hex');
}
