-- A leg comes again in the feed of changes when what it tells has changed, not when an UPDATE has named a column: another leg that
-- becomes the one that stands for the call changes nothing that a reader of the feed sees.
DROP TRIGGER tell_cdr_change ON voip.cdr;
CREATE TRIGGER tell_cdr_change
    BEFORE UPDATE OF call_uuid, provisional, answer_time, end_time, duration, billsec, hangup_cause, recorded,
        status, wait_seconds, talk_seconds, hangup_by ON voip.cdr
    FOR EACH ROW
    WHEN ((OLD.call_uuid, OLD.provisional, OLD.answer_time, OLD.end_time, OLD.duration, OLD.billsec, OLD.hangup_cause,
           OLD.recorded, OLD.status, OLD.wait_seconds, OLD.talk_seconds, OLD.hangup_by)
          IS DISTINCT FROM
          (NEW.call_uuid, NEW.provisional, NEW.answer_time, NEW.end_time, NEW.duration, NEW.billsec, NEW.hangup_cause,
           NEW.recorded, NEW.status, NEW.wait_seconds, NEW.talk_seconds, NEW.hangup_by))
    EXECUTE FUNCTION voip.tell_cdr_change();
