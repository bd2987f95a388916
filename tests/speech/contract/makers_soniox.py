from tests.fakes.remote.soniox import SonioxFake
from tests.speech.contract.makers import RemoteRecognizer

from kallglot.speech.providers.soniox import SonioxRecognizer

MAKERS = [RemoteRecognizer("soniox", SonioxRecognizer, SonioxFake, path=SonioxFake.path)]
