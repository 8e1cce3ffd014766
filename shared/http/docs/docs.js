"use strict";
// Shows the OpenAPI document next to this page; its address is relative, so that it also works behind a prefix.
// It sends no requests: the API is on another port.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true, supportedSubmitMethods: [], validatorUrl: null });
