from kallglot.cli.main import app

app()
