"use strict";
// Shows the OpenAPI document beside this page; its address is relative, so that it also works behind a prefix.
SwaggerUIBundle({ url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null });
