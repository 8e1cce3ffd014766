"""The documents that are generated from the code: schemas, AsyncAPI, OpenAPI, metrics, dashboards."""
