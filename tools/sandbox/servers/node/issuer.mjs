// The issuer of identities in tests and in the demo: `node issuer.mjs CONFIGURATION_FILE PACKAGES_FOLDER`.
//
// It has fixed people without passwords, so it serves loopback only. The configuration is read again when it changed.

import { readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

import { setClockOffset } from "./clock.mjs";
import { answerInteraction } from "./interaction.mjs";
import { createProvider } from "./provider.mjs";

const PARENT_CHECK_INTERVAL_MS = 500;

const [configurationFile, packagesFolder] = process.argv.slice(2);
const packages = createRequire(`${packagesFolder}/`); // the packages are not above this file, where Node looks
const library = await import(pathToFileURL(packages.resolve("oidc-provider")));

let current = load();

function load() {
  const { mtimeNs, ino } = statSync(configurationFile, { bigint: true });
  const configuration = JSON.parse(readFileSync(configurationFile, "utf8"));
  const provider = createProvider(library, configuration);
  setClockOffset(configuration.clock_offset_seconds);
  return { version: `${ino} ${mtimeNs}`, configuration, provider, answer: provider.callback() };
}

function latest() {
  const { mtimeNs, ino } = statSync(configurationFile, { bigint: true });
  if (current.version !== `${ino} ${mtimeNs}`) current = load();
  return current;
}

async function answer(request, response) {
  const { configuration, provider, answer: answerProtocol } = latest();
  const issuer = new URL(configuration.issuer);
  if (request.headers.host !== issuer.host) {
    // Another site whose name resolves to loopback could otherwise sign in as anybody.
    response.writeHead(421).end();
  } else if (request.url.startsWith(`${issuer.pathname}/interaction/`)) {
    await answerInteraction(provider, configuration, request, response);
  } else if (request.url.startsWith(`${issuer.pathname}/`)) {
    request.originalUrl = request.url; // from which the library learns where it is mounted
    request.url = request.url.slice(issuer.pathname.length);
    await answerProtocol(request, response);
  } else {
    response.writeHead(404).end();
  }
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => {
    console.error(error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  });
});
server.listen(Number(new URL(current.configuration.issuer).port), "127.0.0.1");

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(1); // a killed parent cannot stop it
}, PARENT_CHECK_INTERVAL_MS);
