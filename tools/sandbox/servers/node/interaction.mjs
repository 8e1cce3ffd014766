// The page on which somebody chooses who to be, and what follows the choice.

import { accountsPage, errorPage, sendPage } from "./pages.mjs";

const MAX_FORM_BYTES = 4096;

export async function answerInteraction(provider, configuration, request, response) {
  try {
    await provider.interactionDetails(request, response);
  } catch (error) {
    sendPage(response, 400, errorPage(error.error ?? "invalid_request", error.error_description));
    return;
  }
  const subject = request.method === "POST" ? (await readForm(request)).get("account") : null;
  if (configuration.accounts.some((account) => account.subject === subject)) {
    const result = { login: { accountId: subject, remember: false }, consent: {} };
    await provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false });
  } else {
    const status = request.method === "POST" ? 400 : 200;
    sendPage(response, status, accountsPage(configuration.accounts), configuration.front_doors);
  }
}

async function readForm(request) {
  let form = "";
  for await (const part of request) {
    form += part;
    if (form.length > MAX_FORM_BYTES) break;
  }
  return new URLSearchParams(form);
}
