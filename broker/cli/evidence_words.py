"""The words of `broker evidence`, Vietnamese and English: a plain sentence for each check and each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.cli.demo_steps import Words
from broker.evidence.reasons import Reason
from broker.evidence.verifier import CheckName, Result

RESULTS: Final[Mapping[Result, Words]] = {
    "holds": Words("ĐÚNG", "HOLDS"),
    "fails": Words("SAI", "FAILS"),
    "not_checked": Words("CHƯA XÉT", "NOT CHECKED"),
}

HOLDS: Final[Mapping[CheckName, Words]] = {
    "entry_form": Words(
        "Mục bằng chứng đúng dạng, không thừa không thiếu trường nào.",
        "The entry has the form of its kind, with no member too many or missing.",
    ),
    "proof_form": Words("Tệp chứng minh đúng dạng.", "The proof file is of its form."),
    "log_signature": Words(
        "Nhật ký đã ký điểm kiểm tra này bằng khóa được tin.",
        "The log has signed this checkpoint with a key that is trusted here.",
    ),
    "witnesses": Words(
        "Đủ số nhân chứng được tin đã cùng ký điểm kiểm tra này.",
        "As many trusted witnesses as asked for have cosigned this checkpoint.",
    ),
    "timestamp": Words(
        "Cơ quan cấp dấu thời gian được tin đã ký rằng điểm kiểm tra này đã có vào lúc đó.",
        "An authority that is trusted here has signed that this checkpoint was there at that time.",
    ),
    "inclusion": Words(
        "Mục này đứng trong nhật ký, đúng ở vị trí đã nêu.",
        "The entry stands in the log, at the very place that the proof tells.",
    ),
    "data_subject": Words(
        "Mục này nói về đúng người có mã định danh đã đưa.",
        "The entry is about the very person of the identifier that was given.",
    ),
    "payload": Words(
        "Nội dung đã đưa đúng là nội dung mà mục này cam kết.",
        "The payload that was given is the very one that the entry commits to.",
    ),
}

NOT_CHECKED: Final[Mapping[CheckName, Words]] = {
    "entry_form": Words("Không có mục bằng chứng để xét.", "There was no entry to look at."),
    "proof_form": Words("Không có tệp chứng minh để xét.", "There was no proof file to look at."),
    "log_signature": Words(
        "Không xét được chữ ký vì tệp chứng minh không đọc được.",
        "The signature could not be looked at, since the proof file is none.",
    ),
    "witnesses": Words(
        "Không ai yêu cầu nhân chứng, hoặc chữ ký của nhật ký đã sai.",
        "No witnesses were asked for, or the log's signature already fails.",
    ),
    "timestamp": Words(
        "Không đưa dấu thời gian, hoặc chữ ký của nhật ký đã sai.",
        "No time stamp was given, or the log's signature already fails.",
    ),
    "inclusion": Words(
        "Không xét được vị trí vì điểm kiểm tra không được nhật ký ký đúng.",
        "The place could not be looked at, since the log has not signed the checkpoint.",
    ),
    "data_subject": Words(
        "Không đưa đủ muối và mã định danh, nên chưa biết mục này nói về ai.",
        "Salt and identifier were not both given: whom the entry is about is not known.",
    ),
    "payload": Words(
        "Không đưa đủ muối và nội dung, nên nội dung chưa được đối chiếu.",
        "Salt and payload were not both given: the payload was not compared.",
    ),
}

REASONS: Final[Mapping[Reason, Words]] = {
    "entry_too_long": Words(
        "Mục bằng chứng dài hơn 65.535 byte, nhật ký này không thể chứa.",
        "The entry is longer than 65,535 bytes, which no log of this form can hold.",
    ),
    "entry_not_canonical": Words(
        "Các byte của mục không viết đúng cách duy nhất được phép: có thể đã bị sửa hoặc viết lại.",
        "The bytes of the entry are not in the one permitted spelling: somebody changed or rewrote them.",
    ),
    "entry_kind_unknown": Words(
        "Mục thuộc loại mà chương trình này không biết.",
        "The entry is of a kind that this program does not know.",
    ),
    "entry_schema": Words(
        "Mục thừa, thiếu hoặc sai dạng trường so với loại của nó.",
        "The entry has not exactly the members and forms of its kind.",
    ),
    "proof_malformed": Words("Tệp chứng minh không đúng dạng.", "The proof file is not of its form."),
    "index_beyond_tree": Words(
        "Vị trí được nêu nằm ngoài nhật ký của điểm kiểm tra.",
        "The place that is told lies outside the log of the checkpoint.",
    ),
    "inclusion_not_proven": Words(
        "Chứng minh không dẫn từ mục này tới gốc đã ký: đây là một mục khác.",
        "The proof does not lead from this entry to the signed root: the entry is another one.",
    ),
    "consistency_not_proven": Words(
        "Không chứng minh được rằng nhật ký mới nối tiếp nhật ký cũ.",
        "It is not shown that the newer log begins with the older one.",
    ),
    "note_malformed": Words(
        "Điểm kiểm tra có chữ ký không đúng dạng.", "The signed checkpoint is not of its form."
    ),
    "key_malformed": Words(
        "Khóa kiểm tra không đúng dạng hoặc thuộc loại khác với loại cần ở đây.",
        "The verifier key is not of its form, or of another kind than is needed here.",
    ),
    "origin_malformed": Words(
        "Tên nhật ký không đúng dạng.", "The name of the log is not of its form."
    ),
    "origin_unknown": Words(
        "Không có khóa được tin nào cho nhật ký mà điểm kiểm tra nêu tên.",
        "No trusted key is given for the log that the checkpoint names.",
    ),
    "checkpoint_malformed": Words("Điểm kiểm tra không đúng dạng.", "The checkpoint is not of its form."),
    "checkpoint_unsigned": Words(
        "Điểm kiểm tra không có chữ ký của khóa nào được tin.",
        "The checkpoint carries no signature by a trusted key of its log.",
    ),
    "log_signature_invalid": Words(
        "Chữ ký mang tên nhật ký là giả hoặc đã hỏng.",
        "The signature in the log's name is forged or damaged.",
    ),
    "witness_signature_invalid": Words(
        "Chữ ký mang tên một nhân chứng được tin là giả hoặc đã hỏng.",
        "A cosignature in the name of a trusted witness is forged or damaged.",
    ),
    "witnesses_missing": Words(
        "Số nhân chứng được tin đã cùng ký ít hơn số được yêu cầu.",
        "Fewer trusted witnesses have cosigned than are asked for.",
    ),
    "data_subject_differs": Words(
        "Muối và mã định danh không mở được cam kết: mục này không nói về người đó.",
        "Salt and identifier do not open the commitment: the entry is not about that person.",
    ),
    "payload_differs": Words(
        "Muối và nội dung không mở được cam kết: đó không phải nội dung mà mục này ghi nhận.",
        "Salt and payload do not open the commitment: this is not what the entry recorded.",
    ),
    "request_malformed": Words(
        "Yêu cầu gửi nhân chứng không đúng dạng.", "The request to the witness is not of its form."
    ),
    "size_not_latest": Words(
        "Cỡ cũ trong yêu cầu không phải cỡ mà nhân chứng ký lần cuối.",
        "The older size in the request is not the one that the witness cosigned last.",
    ),
    "tile_malformed": Words(
        "Một tệp băm của nhật ký không đúng dạng hoặc độ dài.",
        "A file of hashes is not of its form, or has another length than its name tells.",
    ),
    "tile_missing": Words(
        "Thiếu một tệp băm mà nhật ký cỡ này phải có.",
        "A file of hashes is missing that a log of this size must have.",
    ),
    "tile_differs": Words(
        "Một tệp băm không khớp với các mục hoặc tệp băm bên dưới nó.",
        "A file of hashes differs from what the entries or hashes below it give.",
    ),
    "bundle_malformed": Words(
        "Một tệp chứa các mục bị cắt ngắn hoặc thừa byte.", "A file of entries ends too early or too late."
    ),
    "bundle_missing": Words(
        "Thiếu một tệp chứa các mục: nhật ký có lỗ hổng ở đó.",
        "A file of entries is missing: the log has a gap there.",
    ),
    "root_differs": Words(
        "Các mục cho ra gốc khác với gốc mà nhật ký đã ký.",
        "The entries give another root than the one that the log signed.",
    ),
    "checkpoint_forked": Words(
        "Một điểm kiểm tra đã giữ nêu gốc mà nhật ký này chưa từng có: lịch sử đã bị viết lại.",
        "A checkpoint that was kept tells a root that this log never had: history was rewritten.",
    ),
    "checkpoint_beyond_log": Words(
        "Một điểm kiểm tra đã giữ nêu nhiều mục hơn nhật ký đang có: các mục đã bị bớt.",
        "A checkpoint that was kept tells of more entries than this log has: entries were taken away.",
    ),
    "file_malformed": Words(
        "Tệp bằng chứng không đúng dạng.", "The evidence file is not of its form."
    ),
    "timestamp_malformed": Words(
        "Tệp dấu thời gian không đúng dạng (RFC 3161).",
        "The time stamp is not of its form (RFC 3161).",
    ),
    "timestamp_refused": Words(
        "Cơ quan cấp dấu thời gian đã từ chối, trong tệp không có dấu nào.",
        "The authority refused: there is no time stamp in the file.",
    ),
    "timestamp_differs": Words(
        "Dấu thời gian này đóng lên một điểm kiểm tra khác.",
        "This time stamp is over another checkpoint.",
    ),
    "timestamp_untrusted": Words(
        "Dấu thời gian không do cơ quan nào được tin ký bằng chứng thư còn hiệu lực vào lúc đó.",
        "Nobody under a trusted root signed this time stamp with a certificate that was good at its time.",
    ),
    "timestamp_nonce": Words(
        "Dấu thời gian trả lời một yêu cầu khác.", "The time stamp answers another request."
    ),
    "timestamp_policy": Words(
        "Dấu thời gian được cấp theo chính sách khác với chính sách được yêu cầu.",
        "The time stamp was issued under another policy than the one that is asked for.",
    ),
    "timestamp_time": Words(
        "Giờ trong dấu thời gian lệch với đồng hồ ở đây.",
        "The time in the time stamp is not the time of the clock here.",
    ),
}  # fmt: skip

VERIFY: Final[Mapping[str, Words]] = {
    "all_hold": Words(
        "Mọi điều được xét đều đúng: mục này đứng trong nhật ký.",
        "All that was checked holds: the entry stands in the log.",
    ),
    "not_proven": Words("Bằng chứng này KHÔNG đứng vững.", "This evidence does NOT hold."),
    "unreadable": Words("Không đọc được tệp này.", "This file cannot be read."),
    "keys_from_file": Words(
        "Lưu ý: khóa lấy từ chính tệp này. Hãy so với khóa công bố ở nơi khác, hoặc dùng --vkey.",
        "Note: the keys came with this very file. Compare them with published ones, or say --vkey.",
    ),
    "place": Words(
        "mục số {index} trong {size} mục của {origin}", "entry {index} of the {size} in {origin}"
    ),
    "witness": Words("nhân chứng {name} lúc {at}", "witness {name} at {at}"),
    "stamped": Words(
        "điểm kiểm tra đã có muộn nhất lúc {at}, theo dấu thời gian của {authority}",
        "the checkpoint existed at {at} at the latest: that is what the time stamp of {authority} says",
    ),
    "entry": Words("mục", "entry"),
    "kind": Words("loại {kind}, lúc {at}", "kind {kind}, at {at}"),
}  # fmt: skip
