"""Whole configuration as one frozen tree, passed down by value.

Its keys form one name space over all four files. ``recording`` is a group of our own making: in
files its keys are at the top level, as in ``recording.toml``.
"""

from pydantic import Field

from sfu_wrapper.config.controller import (
    Asterisk,
    AuditKeys,
    Auth,
    Janus,
    Log,
    MediaPlane,
    Permissions,
    Policy,
    QuotaKeys,
    Rabbitmq,
    Recordings,
    Retention,
    Rooms,
    Store,
    Trunk,
)
from sfu_wrapper.config.processing import Recording, Storage, Worker
from sfu_wrapper.config.section import Section
from sfu_wrapper.config.servers import Http, Links, Webhooks, Websocket
from sfu_wrapper.core.policy import PolicySettings, RecordingLimits
from sfu_wrapper.core.quotas import Quotas
from sfu_wrapper.core.retention import RetentionRules


class Settings(Section):
    """Complete configuration, one field a group."""

    record_recording_at_start: bool = Field(
        True, description="whether recording starts automatically when the call is established"
    )
    rooms: Rooms = Rooms()
    quotas: QuotaKeys = QuotaKeys()
    trunk: Trunk = Trunk()
    websocket: Websocket = Websocket()
    http: Http = Http()
    links: Links = Links()
    auth: Auth = Auth()
    store: Store = Store()
    retention: Retention = Retention()
    audit: AuditKeys = AuditKeys()
    media: MediaPlane = MediaPlane()
    janus: Janus = Janus()
    asterisk: Asterisk = Asterisk()
    policy: Policy = Policy()
    permissions: Permissions = Permissions()
    recordings: Recordings = Recordings()
    webhooks: Webhooks = Webhooks()
    recording: Recording = Recording()
    storage: Storage = Storage()
    worker: Worker = Field(default_factory=Worker)
    log: Log = Log()
    rabbitmq: Rabbitmq = Rabbitmq()

    def policy_settings(self) -> PolicySettings:
        """Return the settings of the recording policy, in the form of the core."""
        return PolicySettings(
            system=self.rooms.record,
            record_at_start=self.record_recording_at_start,
            record_incoming_pstn=self.trunk.record_incoming_pstn,
            pstn_conflict=self.trunk.conflict,
            optional_allows_manual=self.policy.optional_allows_manual,
            stop_by=self.policy.stop_by,
        )

    def recording_limits(self) -> RecordingLimits:
        """Return the limits at which recordings are stopped, in the form of the core."""
        return RecordingLimits(
            max_segment_ms=round(1000 * self.recordings.max_segment_seconds),
            max_room_ms=round(1000 * self.recordings.max_room_seconds),
            unattended_ms=round(1000 * self.policy.unattended_stop_seconds),
        )

    def retention_rules(self) -> RetentionRules:
        """Return the times for which recordings are kept, in the form of the core."""
        return RetentionRules(
            days=self.retention.days,
            raw_days=self.retention.raw_days,
            max_days=self.retention.max_days,
            tombstone_days=self.recordings.tombstone_days,
        )

    def quota_limits(self) -> Quotas:
        """Return the quotas of users, domains and rooms, in the form of the core."""
        return Quotas(
            max_invited=self.rooms.max_invited,
            max_participants=self.rooms.max_participants,
            rooms_per_user=self.quotas.rooms_per_user,
            rooms_per_domain=self.quotas.rooms_per_domain,
            rooms_per_minute=self.quotas.rooms_per_minute,
            segments_per_minute=self.quotas.segments_per_minute,
        )
