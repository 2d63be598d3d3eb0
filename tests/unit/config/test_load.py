"""Files of configuration: the shipped ones, the product's, and wrong ones."""

from pathlib import Path

import pytest

from sfu_wrapper.config.catalogue import known_keys
from sfu_wrapper.config.load import load, read
from sfu_wrapper.config.settings import Settings
from sfu_wrapper.core.policy import PstnConflict
from sfu_wrapper.model.errors import Misconfigured
from sfu_wrapper.model.identity import RecordingType
from tests.helpers import config_files
from tests.helpers.config_files import Write, problems

write = config_files.write


SHIPPED = Path(__file__).parents[3] / "config"

PRODUCT_EXAMPLE = """{
 "recordings_path": "/sippo-recording/raw_files/",
 "audio_path": "/sippo-recording/raw_audio/",
 "destination_path": "/sippo-recording/postprocessed/",
 "processing_queue": "processing_queue",
 "failure_queue": "failure_queue",
 "processed_queue": "processed_queue",
 "webm_codec": "vp8",
 "quality": "low",
 "clean_temporary_files": false,
 "fileformat": "rec-{{year}}{{month}}{{day}}-{{hours}}{{minutes}}{{seconds}}-{{uuid}}",
 "should_encrypt" : true,
 "encryption_key" : "/sippo-recording/encryption/key.asc",
 "encryption_mail" : "mail@domain.com",
 "split_recording_output" : true,
 "mix_limit" : 9
}"""

A_PORT = "must be a whole number from 0 to 65535"

A_TEXT = "must be a non-empty text"

A_TIMEOUT = "must be a number above 0 to 30"

A_NAME = "must make a file name: no slash, no stray braces, no leading dot or hyphen"


def test_an_empty_folder_gives_the_defaults_of_the_specification(tmp_path: Path) -> None:
    settings = load(tmp_path, {})

    assert settings == Settings()
    assert settings.rooms.record is RecordingType.NONE
    assert settings.record_recording_at_start
    assert settings.recording.recordings_path == Path("/sippo-recording/raw_files")


def test_the_shipped_files_say_the_defaults_but_keep_everything_below_data() -> None:
    loaded = read(SHIPPED, {})
    recording = loaded.settings.recording
    paths = {name: path for name, path in recording if isinstance(path, Path)}

    assert {path.parts[0] for path in paths.values()} == {"data"}
    defaults = Settings().recording
    expected = Settings(recording=defaults.model_copy(update=paths))
    assert loaded.settings == expected
    assert loaded.notes == ()


def test_the_shipped_files_name_every_key() -> None:
    files = (path for path in sorted(SHIPPED.iterdir()) if path.is_file())
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)

    missing = [key.name for key in known_keys().values() if f"{key.path[-1]}" not in text]
    assert missing == []


def test_all_files_form_one_name_space(write: Write) -> None:
    folder = write(
        config='{"rooms": {"record": "video"}, "trunk": {"recordIncomingPSTN": true}}',
        wrapper="[rooms]\nanswerTimeoutSeconds = 3\n[trunk]\nconflict = 'record'",
        default="[log]\nlevel = 'info'",
    )

    settings = load(folder, {})
    assert settings.rooms.record is RecordingType.VIDEO
    assert settings.rooms.answer_timeout_seconds == 3
    assert settings.trunk.record_incoming_pstn
    assert settings.trunk.conflict is PstnConflict.RECORD
    assert settings.log.level == "info"


def test_the_products_own_recording_file_is_read_as_it_is(write: Write) -> None:
    recording = load(write(recording=PRODUCT_EXAMPLE), {}).recording

    assert recording.encryption_mail == "mail@domain.com"
    assert recording.split_recording_output
    assert not recording.clean_temporary_files


def test_other_sections_of_the_products_file_are_noted_and_ignored(write: Write) -> None:
    folder = write(config='{"mongo": {"url": "x"}, "log": {"level": 7}, "trunks": {"a": 1}}')

    loaded = read(folder, {})
    file = folder / "config.json"
    assert loaded.settings == Settings()
    assert loaded.notes == (
        f"{file}: section mongo is not used by sfu-wrapper and ignored",
        f"{file}: section log is not used by sfu-wrapper and ignored",
        f"{file}: section trunks is not used by sfu-wrapper and ignored (did you mean trunk?)",
    )


@pytest.mark.parametrize(
    ("files", "unknown", "nearest"),
    [
        ({"config": '{"rooms": {"recrod": "all"}}'}, "rooms.recrod", "rooms.record"),
        ({"config": '{"loglevel": "info"}'}, "loglevel", "log.level"),
        ({"wrapper": "[websocket]\nprot = 1"}, "websocket.prot", "websocket.port"),
        ({"wrapper": "[websockets]\nport = 1"}, "websockets.port", "websocket.port"),
        ({"wrapper": "mixlimit = 1"}, "mixlimit", "mix_limit"),
        ({"recording": "[recording]\nquality = 'low'"}, "recording.quality", "quality"),
        ({"default": "[log]\nrelative_paths = true"}, "log.relative_paths", "log.relativePaths"),
        ({"recording": "encrypt = true"}, "encrypt", "should_encrypt"),
        ({"default": "[kafka]\naddress = 'x'"}, "kafka.address", "rabbitmq.address"),
    ],
)
def test_an_unknown_key_is_an_error_that_names_the_nearest(
    write: Write, files: dict[str, str], unknown: str, nearest: str
) -> None:
    folder = write(**files)

    [text] = problems(folder)
    assert text.startswith(f"{folder}/")
    assert text.endswith(f": {unknown}: unknown key; the nearest known key is {nearest}")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {"recording": "leftovers = 3"},
            "leftovers: unknown key; sfu-wrapper config schema",
        ),
        (
            {"recording": "[archive]\nweeks = 3"},
            "archive.weeks: unknown key; sfu-wrapper config schema",
        ),
        (
            {"default": "[rabbitmq]\nurl = 'amqp://x'"},
            "rabbitmq.url: unknown key; [rabbitmq] knows address",
        ),
        (
            {"default": "[log]\nfile = 'x'"},
            "log.file: unknown key; [log] knows level, relativePaths, format",
        ),
    ],
)
def test_where_no_key_is_near_none_is_suggested(
    write: Write, files: dict[str, str], expected: str
) -> None:
    [text] = problems(write(**files))

    assert text.partition(": ")[2].startswith(expected)
    assert "nearest" not in text


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("wrapper", "websocket.port = 70000", f"websocket.port = 70000: {A_PORT}"),
        ("wrapper", "websocket.port = '8765'", f'websocket.port = "8765": {A_PORT}'),
        (
            "recording",
            "recordings_path = ''",
            'recordings_path = "": must be a path that is not empty',
        ),
        (
            "wrapper",
            "auth.publicKeyFile = ''",
            'auth.publicKeyFile = "": must be a path that is not empty',
        ),
        ("wrapper", "websocket.host = ''", f'websocket.host = "": {A_TEXT}'),
        (
            "wrapper",
            "recordRecordingAtStart = 'yes'",
            'recordRecordingAtStart = "yes": must be true or false',
        ),
        ("wrapper", "media.timeoutSeconds = 31", f"media.timeoutSeconds = 31: {A_TIMEOUT}"),
        ("wrapper", "media.timeoutSeconds = 0", f"media.timeoutSeconds = 0: {A_TIMEOUT}"),
        ("wrapper", "media.timeoutSeconds = nan", f"media.timeoutSeconds = NaN: {A_TIMEOUT}"),
        (
            "wrapper",
            "media.sfu = 'jitsi'",
            'media.sfu = "jitsi": must be one of simulated, janus, none',
        ),
        (
            "wrapper",
            "websocket.gatewayRoles = ['admin']",
            'websocket.gatewayRoles = ["admin"]: must be a list; '
            "each entry one of user, domain-admin, service, gateway",
        ),
        (
            "wrapper",
            "websocket.gatewayRoles = ['gateway']",
            'websocket.gatewayRoles = ["gateway"]: '
            "a gateway vouches for its clients, not for other gateways",
        ),
        (
            "wrapper",
            "websocket.allowedOrigins = ['https://a.example/']",
            'websocket.allowedOrigins = ["https://a.example/"]: '
            "'https://a.example/' is no origin; write it as https://app.example.com",
        ),
        ("wrapper", "auth.secret = ''", f'auth.secret = "********": {A_TEXT}'),
        ("wrapper", "auth.secret = 17", f'auth.secret = "********": {A_TEXT}'),
        ("wrapper", "auth.publicKeyFile = 1", "auth.publicKeyFile = 1: must be a path"),
        (
            "wrapper",
            "auth.jwksUrl = 'file:///x'",
            'auth.jwksUrl = "file:///x": must be an http or https address',
        ),
        (
            "wrapper",
            "janus.url = 'ws://127.0.0.1:99999'",
            'janus.url = "ws://127.0.0.1:99999": must be ws://<host>:<port> or wss://<host>:<port>',
        ),
        (
            "wrapper",
            "store.url = 'mysql://x'",
            'store.url = "mysql://x": '
            "must be sqlite:<file> or postgresql://<user>@<host>/<database>",
        ),
        (
            "config",
            '{"rooms": {"record": "some"}}',
            'rooms.record = "some": must be one of all, audio, video, none',
        ),
        ("recording", "mix_limit = 0", "mix_limit = 0: must be a whole number from 1"),
        (
            "recording",
            "fileformat = 'x-{{foo}}'",
            "fileformat = \"x-{{foo}}\": has no field 'foo'; known are year, month, day, "
            "hours, minutes, seconds, uuid, confbridgeid, segment",
        ),
        ("recording", "fileformat = '../{{uuid}}'", f'fileformat = "../{{{{uuid}}}}": {A_NAME}'),
        ("recording", "fileformat = '-{{uuid}}'", f'fileformat = "-{{{{uuid}}}}": {A_NAME}'),
        ("recording", "fileformat = 'x{{uuid}'", f'fileformat = "x{{{{uuid}}": {A_NAME}'),
        ("recording", "fileformat = ''", 'fileformat = "": must be a non-empty text'),
        ("recording", "fileformat = '...'", f'fileformat = "...": {A_NAME}'),
        ("recording", "fileformat = '/'", f'fileformat = "/": {A_NAME}'),
        (
            "recording",
            "fileformat = '  '",
            'fileformat = "  ": must make a file name: it has nothing but dots and spaces',
        ),
        (
            "recording",
            f"fileformat = '{'x' * 250}'",
            f'fileformat = "{"x" * 250}": '
            "makes names longer than 255 bytes for the longest ids (128 characters): shorten it",
        ),
        (
            "recording",
            "failure_queue = 'amq.x'",
            'failure_queue = "amq.x": '
            "must be a queue name of at most 255 bytes that does not begin with amq.",
        ),
        (
            "recording",
            "failure_queue = 'aufnahmen(neu)'",
            'failure_queue = "aufnahmen(neu)": '
            "must be a queue name of ASCII letters, digits, spaces and - _ . : @ # , / +",
        ),
        (
            "default",
            "rabbitmq.address = 'http://u:hush@h'",
            'rabbitmq.address = "http://u:********@h": '
            "must be embedded: or amqp://<host> or amqps://<host>",
        ),
        (
            "default",
            "log.level = 2020-05-25",
            'log.level = "2020-05-25": must be one of debug, info, warn, warning, error',
        ),
        ("default", "log = 'debug'", 'log = "debug": must be a section with keys'),
        ("recording", '{"quality": "\\ud800"}', "quality: must be valid Unicode"),
    ],
)
def test_a_wrong_value_names_file_key_value_and_what_is_allowed(
    write: Write, file: str, text: str, expected: str
) -> None:
    folder = write(**{file: text})

    [problem] = problems(folder)
    source, _, rest = problem.partition(": ")
    assert Path(source).parent == folder
    assert rest == expected


@pytest.mark.parametrize(
    ("file", "text", "complaint"),
    [
        ("config", "{", "cannot be read: Expecting property name"),
        ("config", "[]", "cannot be read: must be a JSON object"),
        ("config", '{"rooms": {}, "rooms": {}}', "cannot be read: the key rooms is set twice"),
        ("recording", "quality = low", "cannot be read: Invalid value"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_problem(
    write: Write, file: str, text: str, complaint: str
) -> None:
    [problem] = problems(write(**{file: text}))

    assert complaint in problem


def test_a_file_that_is_not_utf_8_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_bytes(b"\xff\xfe")

    [problem] = problems(tmp_path)
    assert "default.toml: cannot be read" in problem


def test_every_problem_is_told_at_once(write: Write) -> None:
    folder = write(wrapper="websocket.port = -1\nhost = 'x'", recording="mix_limit = true")

    assert len(problems(folder, {"SFU_WRAPPER__HTTP__PORT": "x"})) == 4
    with pytest.raises(Misconfigured) as caught:
        load(folder, {})
    assert len(caught.value.detail.splitlines()) == 3


@pytest.mark.parametrize("alias", ["startRecordingAtStart", "recordRecordingAnStart"])
def test_the_other_names_of_the_product_text_are_understood(write: Write, alias: str) -> None:
    folder = write(wrapper=f"{alias} = false", recording="processedQueue = 'done'")

    settings = load(folder, {})
    assert not settings.record_recording_at_start
    assert settings.recording.processed_queue == "done"


def test_two_files_may_not_say_different_things(write: Write) -> None:
    folder = write(config='{"rooms": {"record": "all"}}', wrapper="rooms.record = 'none'")

    [problem] = problems(folder)
    assert problem == (
        f"{folder}/sfu-wrapper.toml: rooms.record: given twice, "
        f"with another value in {folder}/config.json"
    )


def test_two_files_may_say_the_same(write: Write) -> None:
    folder = write(config='{"rooms": {"record": "all"}}', wrapper="rooms.record = 'all'")

    assert load(folder, {}).rooms.record is RecordingType.ALL


def test_a_file_with_almost_the_right_name_is_noted(tmp_path: Path) -> None:
    (tmp_path / "sfu_wrapper.toml").write_text("recordRecordingAtStart = false")
    (tmp_path / "notes.toml").write_text("")

    assert read(tmp_path, {}).notes == (
        f"{tmp_path}/sfu_wrapper.toml: ignored; the file that is read is called sfu-wrapper.toml",
    )


def test_a_folder_that_was_asked_for_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="folder not found"):
        load(tmp_path / "nowhere", {})


def test_the_usual_place_is_config_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.toml").write_text("[log]\nlevel = 'error'")
    monkeypatch.chdir(tmp_path)

    loaded = read(None, {})
    assert loaded.folder == Path("config")
    assert loaded.settings.log.level == "error"


def test_without_any_folder_the_built_in_defaults_count_and_a_note_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sfu_wrapper.config.sources.SEARCHED", (Path("config"),))

    loaded = read(None, {})
    assert loaded.folder is None
    assert loaded.settings == Settings()
    assert loaded.notes == ("no configuration folder found: built-in defaults apply",)
