"""What the API answers, by the credential that it takes: a launch, a service key, the account."""
