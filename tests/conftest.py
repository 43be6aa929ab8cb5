pytest_plugins = ["ltiaas_middleware.pytest_plugin"]
