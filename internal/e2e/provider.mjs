// The certified provider of the end-to-end tests: panva's oidc-provider over TLS, one server for each entry of
// `providers` in the configuration that comes on standard input as JSON. It prints one line of JSON with the issuers and
// the address of its control server when it listens, and ends when its standard input does.
//
// Its control server takes clients (PUT /clients/HOST with the metadata as JSON) and answers GET /calls with all that
// reached the providers: the tests count calls to the token endpoint and look at what was sent with them. PUT /hold/CLIENT
// holds a client's calls to the token endpoint until DELETE; GET /hold/CLIENT answers when one is held.
import { createServer as createControl } from 'node:http';
import { createServer, request as open } from 'node:https';
import { once } from 'node:events';
import { Provider, interactionPolicy } from 'oidc-provider';

const input = process.stdin[Symbol.asyncIterator]();
let line = '';
while (!line.includes('\n')) {
  const { value, done } = await input.next();
  if (done) process.exit(1);
  line += value;
}
const config = JSON.parse(line);
const calls = [];

const page = (title, body) => `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>${title}</title>
<meta name="viewport" content="width=device-width"></head><body><h1>${title}</h1>${body}</body></html>`;
const escape = (s) => String(s).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

// holds are the clients whose token calls wait.
const holds = new Map();

function hold() {
  const h = {};
  h.over = new Promise((resolve) => { h.release = resolve; });
  h.arrived = new Promise((resolve) => { h.arrive = resolve; });
  return h;
}

// basic is the client that a call's Basic credentials name.
function basic(req) {
  const [scheme, credentials] = (req.headers.authorization ?? '').split(' ');
  return scheme === 'Basic' ? decodeURIComponent(Buffer.from(credentials, 'base64').toString().split(':')[0]) : undefined;
}

// heldFor waits as long as the client of a token call has to.
async function heldFor(req) {
  const h = holds.get(basic(req));
  if (h) {
    h.arrive();
    await h.over;
  }
}

// send is the provider's way to the apps, instead of fetch: as for Chromium and the relying party, every name is this
// machine, and the test authority is the only one that counts.
const send = (url, { method = 'GET', headers, body, signal }) => new Promise((resolve, reject) => {
  const lookup = (host, o, done) => (o.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4));
  const request = open(url, { method, headers: Object.fromEntries(headers), ca: config.ca, signal, lookup }, async (answer) => {
    const chunks = await Array.fromAsync(answer);
    resolve(new Response(chunks.length ? Buffer.concat(chunks) : null, { status: answer.statusCode, headers: answer.headers }));
  });
  request.on('error', reject);
  request.end(body && String(body));
});

// The levels of login: who asks for the second one gets it, by logging in again.
const password = 'urn:test:password';
const otp = 'urn:test:otp';

// policy is the provider's, and heeds acr_values as Keycloak does: a weaker login that is there is not enough.
function policy() {
  const base = interactionPolicy.base();
  base.get('login').checks.add(new interactionPolicy.Check('acr_values', 'a stronger login is asked for', (ctx) => {
    const asked = ctx.oidc.params.acr_values?.split(' ');
    return asked && !asked.includes(ctx.oidc.acr) && !ctx.oidc.result?.login
      ? interactionPolicy.Check.REQUEST_PROMPT : interactionPolicy.Check.NO_NEED_TO_PROMPT;
  }));
  return base;
}

// settings turns an entry of the configuration into oidc-provider's. What is not named keeps the provider's default.
function settings(entry) {
  return {
    jwks: config.jwks,
    cookies: { keys: ['end-to-end'] },
    routes: { authorization: '/authorize', token: '/oauth/token', userinfo: '/userinfo', jwks: '/jwks', end_session: '/logout' },
    responseTypes: ['code', 'id_token', 'code id_token', 'code token', 'code id_token token'],
    acrValues: [password, otp],
    scopes: ['openid', 'offline_access', 'profile', 'email'],
    claims: { openid: ['sub'], profile: ['name'], email: ['email', 'email_verified'], acr: null, amr: null, auth_time: null, sid: null, iss: null },
    conformIdTokenClaims: false, // the claims of scopes are in the ID Token too, as at Auth0 and Entra ID
    extraParams: ['audience', 'organization'],
    discovery: entry.discovery,
    fetch: send,
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA', 'HS256'] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    expiresWithSession: () => false,
    ttl: { AccessToken: (ctx, token) => token.resourceServer?.accessTokenTTL ?? 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 3600, Grant: 3600, RefreshToken: 3600 },
    issueRefreshToken: (ctx, client, code) => client.grantTypeAllowed('refresh_token')
      && (entry.refreshWithoutConsent || code.scopes.has('offline_access')),
    findAccount: (ctx, id) => ({
      accountId: id,
      claims: () => ({ sub: id, name: `${id} of the tests`, email: `${id}@example.test`, email_verified: true }),
    }),
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}`, policy: policy() },
    renderError: (ctx, out) => {
      ctx.type = 'html';
      ctx.body = page('The provider refused', `<pre id="refused">${escape(JSON.stringify(out))}</pre>`);
    },
    features: {
      devInteractions: { enabled: false },
      claimsParameter: { enabled: true },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => {
          ctx.body = page('Log out?', `${form}<button id="end" type="submit" form="op.logoutForm" name="logout" value="yes">Log out</button>`);
        },
      },
      resourceIndicators: {
        enabled: true,
        defaultResource: (ctx, client, oneOf) => oneOf?.[0] ?? ctx.oidc.params.audience, // Auth0's audience is a resource
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => config.resources[resource] && {
          ...config.resources[resource], accessTokenFormat: 'jwt', jwt: { sign: { alg: 'RS256' } },
        },
      },
    },
  };
}

// interact serves the login page and the consent page: the certified provider leaves them to the site that embeds it.
async function interact(provider, req, res) {
  const details = await provider.interactionDetails(req, res);
  const action = `/interaction/${details.uid}`;
  if (req.method !== 'POST') {
    const body = details.prompt.name === 'login'
      ? `<form method="post" action="${action}"><input id="username" name="login" autofocus autocomplete="username"><button id="continue">Log in</button></form>`
      : `<p>Scopes: <span id="scopes">${escape(details.params.scope)}</span></p><form method="post" action="${action}">
         <button id="allow" name="consent" value="yes">Allow</button><button id="deny" name="consent" value="no">Deny</button></form>`;
    res.writeHead(200, { 'content-type': 'text/html', 'cache-control': 'no-store' });
    res.end(page(details.prompt.name === 'login' ? 'Log in' : 'Allow access?', body));
    return;
  }
  let form = '';
  for await (const chunk of req) form += chunk;
  const fields = new URLSearchParams(form);
  await provider.interactionFinished(req, res, await outcome(provider, details, fields), { mergeWithLastSubmission: true });
}

async function outcome(provider, details, fields) {
  if (details.prompt.name === 'login') {
    const strong = details.params.acr_values?.split(' ').includes(otp);
    return { login: { accountId: fields.get('login'), acr: strong ? otp : password, amr: strong ? ['pwd', 'otp'] : ['pwd'] } };
  }
  if (fields.get('consent') !== 'yes') {
    return { error: 'access_denied', error_description: 'the user said no' };
  }
  const grant = (details.grantId && await provider.Grant.find(details.grantId))
    || new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
  grant.addOIDCScope(details.params.scope);
  grant.addOIDCClaims(details.prompt.details.missingOIDCClaims ?? []);
  for (const [resource, { scope }] of Object.entries(config.resources)) grant.addResourceScope(resource, scope);
  return { consent: { grantId: await grant.save() } };
}

// record keeps what the tests ask about a call to the token endpoint, and who heard of a logout. It holds no secret.
function record(provider) {
  const note = (ctx, error) => {
    const body = ctx.oidc.body ?? {};
    const entry = ctx.req.call;
    entry.grant = body.grant_type;
    entry.parameters = Object.keys(body).sort();
    entry.authorization = (ctx.get('authorization').split(' ')[0] || '').toLowerCase();
    entry.client = ctx.oidc.client?.clientId;
    entry.method = ctx.oidc.client?.clientAuthMethod;
    entry.error = error?.error;
    entry.description = error?.error_description;
    entry.refresh = Boolean(ctx.body?.refresh_token);
    entry.assertion = body.client_assertion && JSON.parse(Buffer.from(body.client_assertion.split('.')[1], 'base64url'));
  };
  provider.on('grant.success', (ctx) => note(ctx));
  provider.on('grant.error', note);
  provider.on('backchannel.success', (ctx, client) => { (ctx.req.call.told ??= []).push(client.clientId); });
  provider.on('backchannel.error', (ctx, error, client) => { (ctx.req.call.deaf ??= []).push(`${client.clientId}: ${error.cause ?? error}`); });
  provider.on('server_error', (ctx, error) => console.error(error));
}

async function serve(entry) {
  let handler;
  const server = createServer({ cert: config.cert, key: config.key }, (req, res) => handler(req, res));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const provider = new Provider(`https://${entry.host}:${server.address().port}${entry.path}`, settings(entry));
  const callback = provider.callback();
  record(provider);
  handler = (req, res) => {
    const url = new URL(req.url, provider.issuer);
    req.call = { host: entry.host, verb: req.method, path: url.pathname, query: Object.fromEntries(url.searchParams), bearer: /^bearer /i.test(req.headers.authorization ?? ''), basic: basic(req) };
    calls.push(req.call);
    res.on('finish', () => { req.call.status = res.statusCode; });
    if (url.pathname.endsWith('/oauth/token')) {
      heldFor(req).then(() => callback(req, res));
      return;
    }
    if (!url.pathname.startsWith('/interaction/')) {
      callback(req, res);
      return;
    }
    interact(provider, req, res).catch((error) => {
      res.writeHead(400, { 'content-type': 'text/plain' });
      res.end(String(error));
    });
  };
  return provider;
}

const providers = {};
for (const entry of config.providers) providers[entry.host] = await serve(entry);

async function register(provider, req) {
  let text = '';
  for await (const chunk of req) text += chunk;
  const metadata = JSON.parse(text);
  await provider.Client.adapter.upsert(metadata.client_id, metadata);
  await provider.Client.find(metadata.client_id); // throws what is wrong with it
}

// held answers the control server's /hold/CLIENT.
async function held(client, verb) {
  if (verb === 'PUT') holds.set(client, hold());
  if (verb === 'GET') await holds.get(client).arrived;
  if (verb === 'DELETE') {
    holds.get(client)?.release();
    holds.delete(client);
  }
}

const control = createControl((req, res) => {
  if (req.url.startsWith('/hold/')) {
    held(req.url.replace('/hold/', ''), req.method).then(() => res.end());
    return;
  }
  if (req.method === 'PUT') {
    register(providers[req.url.replace('/clients/', '')], req).then(() => res.end(), (error) => {
      res.statusCode = 400;
      res.end(`${error} ${error.error_description ?? ''}`);
    });
    return;
  }
  res.setHeader('content-type', 'application/json');
  res.end(JSON.stringify(calls));
});
control.listen(0, '127.0.0.1');
await once(control, 'listening');
const issuers = Object.fromEntries(Object.entries(providers).map(([host, { issuer }]) => [host, issuer]));
console.log(JSON.stringify({ issuers, control: `http://127.0.0.1:${control.address().port}` }));
for await (const _ of input); // until the tests end
process.exit(0);
