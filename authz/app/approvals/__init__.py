"""The approver side over HTTP, on a listener of its own: a page, an API and a webhook over a store of approvals."""
