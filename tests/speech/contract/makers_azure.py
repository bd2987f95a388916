from tests.fakes.remote.azure import REGION, FakeAzure
from tests.fakes.remote.plain import spoken, translated
from tests.speech.contract.makers import KEY, RemoteSynthesizer, RemoteTranslator

from kallglot.speech.providers.azure import AzureSynthesizer, AzureTranslator

CONFIG = {"options": {"region": REGION, "sample_rate_hz": 16000}}

MAKERS = [
    RemoteTranslator("azure", AzureTranslator, lambda: FakeAzure(KEY), config=CONFIG, translate=translated),
    RemoteSynthesizer(
        "azure", AzureSynthesizer, lambda: FakeAzure(KEY), config=CONFIG, sound=lambda text: spoken(text, 16000)
    ),
]
