"""The API's endpoints, by the credential that they accept: a launch's, a service key or the
account's."""
