// The front door of the demo: `node front-door.mjs CONFIGURATION_FILE PACKAGES_FOLDER`.
//
// It has the routes of the gateway, and like it passes on only listed headers.

import { readFile, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const PARENT_CHECK_INTERVAL_MS = 500;
const BODY_HEADERS = ["content-length", "transfer-encoding"];

const [configurationFile, packagesFolder] = process.argv.slice(2);
const packages = createRequire(`${packagesFolder}/`); // the packages are not above this file, where Node looks
const { createProxyServer } = await import(pathToFileURL(packages.resolve("httpxy")));

const { listeners, tls, forwarded_headers: forwardedHeaders } = JSON.parse(readFileSync(configurationFile, "utf8"));
const proxy = createProxyServer({ agent: false }); // services close idle connections without a warning
const passedOn = new Set([...forwardedHeaders.map((name) => name.toLowerCase()), ...BODY_HEADERS]);
const scheme = tls ? "https" : "http";

const PROBLEMS = {
  404: { type: "about:blank", title: "Not found.", status: 404 },
  421: { type: "urn:attune:problem:unknown-host", title: "Not this host", status: 421 },
  503: { type: "unavailable", title: "Please try again in a moment.", status: 503 },
};

function refuse(response, status) {
  if (response.headersSent) return response.destroy();
  response.writeHead(status, { "Content-Type": "application/problem+json", "Cache-Control": "no-store" });
  response.end(JSON.stringify(PROBLEMS[status]));
}

function findRoute(routes, path) {
  return routes.find(({ start }) => new RegExp(`^${start}`).test(path));
}

// The demo writes the page when it knows its people, and again when it knows more.
function answerStartPage(file, response) {
  readFile(file, (error, page) => {
    if (error) return refuse(response, 404);
    response.writeHead(200, {
      "Content-Type": "text/html; charset=utf-8",
      "Cache-Control": "no-store",
      "Content-Security-Policy":
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
      "X-Content-Type-Options": "nosniff",
    });
    response.end(page);
  });
}

function answer(listener, request, response) {
  // Another site whose name resolves to this machine could otherwise read and write with its visitors' cookies.
  if (request.headers.host !== listener.host) return refuse(response, 421);
  const url = URL.parse(`http://any${request.url}`); // resolves dots, encoded ones too; null if it is no address
  if (url?.pathname === "/" && listener.start_page) return answerStartPage(listener.start_page, response);
  const route = url && findRoute(listener.routes, url.pathname);
  if (!route) return refuse(response, 404);
  request.url = url.pathname.slice(route.removed_prefix.length) + url.search;
  const listed = Object.entries(request.headers).filter(([name]) => passedOn.has(name));
  request.headers = {
    ...Object.fromEntries(listed),
    host: listener.host,
    "x-forwarded-for": request.socket.remoteAddress,
    "x-forwarded-proto": scheme,
  };
  return proxy.web(request, response, { target: route.target }).catch(() => refuse(response, 503));
}

function listen(listener) {
  const handle = (request, response) => answer(listener, request, response);
  const server = tls
    ? createSecureServer({ cert: readFileSync(tls.certificate), key: readFileSync(tls.key) }, handle)
    : createServer(handle);
  server.listen(listener.port, listener.address);
  return server;
}

const servers = listeners.map(listen);

process.on("SIGTERM", () => {
  for (const server of servers) {
    server.close();
    server.closeAllConnections(); // pages reconnect by themselves
  }
  process.exit(0);
});

const parent = process.ppid;
setInterval(() => {
  if (process.ppid !== parent) process.exit(1); // a killed parent cannot stop it
}, PARENT_CHECK_INTERVAL_MS);
