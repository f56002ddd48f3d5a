def pytest_configure(config):
    config.addinivalue_line("markers", "options(option...): the peer's options")
