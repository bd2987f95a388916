from tests.fakes.remote.azure_recognition import AzureListening
from tests.speech.contract.makers import RemoteRecognizer

from kallglot.speech.providers.azure_recognition import AzureRecognizer

MAKERS = [RemoteRecognizer("azure", AzureRecognizer, AzureListening, config={"options": {"region": "westeurope"}})]
