// Configures the provider: code flow with PKCE for people, client credentials with JWT access tokens for machines.

import { randomBytes } from "node:crypto";

import { MemoryAdapter } from "./memory.mjs";
import { errorPage, pageHeaders, signedOutPage, signOutPage } from "./pages.mjs";

const SCOPES = ["openid", "profile", "email"];
const INTERACTION_SECONDS = 600;
const LOGIN_SECONDS = 12 * 3600;
const LOGGED_EVENTS = ["authorization.error", "end_session.error", "grant.error", "server_error"];
const COOKIE_KEYS = [randomBytes(32).toString("hex")];

export function createProvider({ default: Provider, errors }, configuration) {
  const provider = new Provider(configuration.issuer, {
    adapter: MemoryAdapter,
    clients: configuration.clients,
    jwks: { keys: configuration.keys },
    cookies: { keys: COOKIE_KEYS },
    scopes: SCOPES,
    claims: { openid: ["sub"], profile: ["name"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false, // id tokens have all claims, like those of the issuers that clinics use
    responseTypes: ["code"],
    pkce: { required: () => true },
    ttl: lifetimes(configuration),
    interactions: { url: (_ctx, { uid }) => `${new URL(configuration.issuer).pathname}/interaction/${uid}` },
    findAccount: (_ctx, subject) => findAccount(configuration.accounts, subject),
    loadExistingGrant,
    renderError,
    features: {
      devInteractions: { enabled: false }, // they let anybody in, under any name
      clientCredentials: { enabled: true },
      resourceIndicators: resourceIndicators(configuration, errors),
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: (ctx, form) => renderPage(ctx, signOutPage(form), configuration.front_doors),
        postLogoutSuccessSource: (ctx) => renderPage(ctx, signedOutPage()),
      },
    },
  });
  for (const event of LOGGED_EVENTS) provider.on(event, (_ctx, error) => console.error(`${event}: ${cause(error)}`));
  return provider;
}

const cause = ({ error_detail, error_description, stack }) => error_detail ?? error_description ?? stack;

function lifetimes({ id_token_seconds, machine_token_seconds }) {
  return {
    AccessToken: machine_token_seconds,
    AuthorizationCode: 60,
    ClientCredentials: machine_token_seconds,
    Grant: LOGIN_SECONDS,
    IdToken: id_token_seconds,
    Interaction: INTERACTION_SECONDS,
    Session: LOGIN_SECONDS,
  };
}

// Without a resource an access token is opaque. Machines get the one resource even if they name none.
function resourceIndicators({ audience, machine_token_seconds }, errors) {
  const resource = `urn:${audience}`;
  return {
    enabled: true,
    defaultResource: (_ctx, client, named) =>
      named ?? (client.grantTypeAllowed("client_credentials") ? resource : undefined),
    getResourceServerInfo: (_ctx, named) => {
      if (named !== resource) throw new errors.InvalidTarget();
      return { scope: "", audience, accessTokenFormat: "jwt", accessTokenTTL: machine_token_seconds };
    },
  };
}

function findAccount(accounts, wanted) {
  const account = accounts.find(({ subject }) => subject === wanted);
  if (!account) return undefined;
  const { subject, name, email, email_verified } = account;
  return { accountId: subject, claims: () => ({ sub: subject, name, email, email_verified }) };
}

// Attune is no third party, so people need not consent to its scopes.
async function loadExistingGrant({ oidc }) {
  const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
  grant.addOIDCScope(SCOPES.join(" "));
  await grant.save();
  return grant;
}

function renderError(ctx, { error, error_description }) {
  renderPage(ctx, errorPage(error, error_description));
}

function renderPage(ctx, html, formTargets) {
  ctx.type = "html";
  ctx.set(pageHeaders(formTargets));
  ctx.body = html;
}
