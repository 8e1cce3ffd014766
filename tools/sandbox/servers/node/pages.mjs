// The pages of the issuer: plain HTML without scripts.

const ESCAPES = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };

const escape = (text) => String(text).replace(/[&<>"']/g, (character) => ESCAPES[character]);

const STYLE = `
  :root { color-scheme: light dark; }
  body { font: 1.125rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 3rem auto; padding: 0 1rem; }
  ul { list-style: none; padding: 0; }
  button { font: inherit; width: 100%; min-height: 3rem; margin: 0 0 0.75rem; padding: 0.5rem 1rem; text-align: left; }
  button:focus-visible { outline: 3px solid; outline-offset: 2px; }
  small { display: block; }`;

function page(title, body) {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

const accountButton = ({ subject, name, description }) => `<li><form method="post">
<input type="hidden" name="account" value="${escape(subject)}">
<button>${escape(name)}<small>${escape(description)}</small></button>
</form></li>`;

export const accountsPage = (accounts) =>
  page(
    "Who are you?",
    `<p>This is a demo: its people are invented and have no passwords. A clinic signs in at an issuer of its own.</p>
<ul>${accounts.map(accountButton).join("\n")}</ul>`,
  );

// The form comes from the library, which checks its hidden field.
export const signOutPage = (form) =>
  page(
    "Sign out?",
    `<p>You are leaving the demo. At the next sign-in you choose again who you are.</p>
${form}
<button form="op.logoutForm" name="logout" value="yes">Sign out</button>
<button form="op.logoutForm">Stay signed in</button>`,
  );

export const signedOutPage = () => page("You are signed out", "<p>You can close this page.</p>");

export const errorPage = (error, description) =>
  page(
    "Sign-in did not work",
    `<p>Go back to where you came from, and start again.</p>
<p><small>${escape(error)}: ${escape(description ?? "no more is known")}</small></p>`,
  );

export function sendPage(response, status, html, formTargets = []) {
  response.writeHead(status, { "Content-Type": "text/html; charset=utf-8", ...pageHeaders(formTargets) }).end(html);
}

// Chromium holds every redirect that follows a form to `form-action`: the last one leads to the front door.
export const pageHeaders = (formTargets = []) => ({
  "Cache-Control": "no-store",
  "Content-Security-Policy":
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'; " +
    `form-action ${["'self'", ...formTargets].join(" ")}`,
  "X-Content-Type-Options": "nosniff",
});
