"""The demo's own words, in Vietnamese and in English; the story's are beside its scenes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from broker.cli.demo_steps import Words

WORDS: Final[Mapping[str, Words]] = {
    "asked": Words("Hỏi", "Asked"),
    "answer": Words("Trả lời", "Answer"),
    "released": Words("Trả ra", "Released"),
    "withheld": Words("Giữ lại", "Withheld"),
    "evidence": Words("Bằng chứng", "Evidence"),
    "nothing": Words("không trường nào", "no field"),
    "everything": Words("mọi trường", "every field"),
    "unrecorded": Words("không có: bị chặn từ cửa", "none: stopped at the door"),
    "not_yet": Words("không có: chưa có dữ liệu nào rời đi", "none: no data have left"),
    "given": Words("được cho", "given"),
    "public": Words("không có: trang công khai", "none: a public page"),
    "more": Words("và {count} dòng nữa", "and {count} more"),
    "verified": Words("chữ ký đã kiểm", "signature verified"),
    "differs": Words("KHÁC MONG ĐỢI", "NOT AS EXPECTED"),
    "card": Words("thẻ", "card"),
    "new_card": Words("thẻ mới", "new card"),
    "level": Words("mức hưởng", "benefit level"),
    "until": Words("đến", "to"),
    "step": Words("Cảnh", "Scene"),
    "entry": Words("Bằng chứng: loại · kết quả · lý do", "Evidence: kind · result · reason"),
    "fields": Words("{count} trường", "{count} fields"),
    "other_fields": Words(
        "{count} trường khác (không có trong thỏa thuận, không được đọc)",
        "{count} other fields (not in the agreement, never read)",
    ),
    "summary": Words(
        "Bằng chứng đọc từ cơ sở dữ liệu: không có số hay tên của ai",
        "Evidence as read from the database: nobody's number or name",
    ),
    "card_number": Words("số thẻ", "card number"),
    "qr": Words("mã QR căn cước", "QR text of the ID card"),
    "characters": Words("{count} ký tự", "{count} characters"),
    "personal_id": Words("số định danh", "personal id"),
    "full_name": Words("họ tên", "name"),
    "birth_date": Words("ngày sinh", "birth date"),
    "acting_person": Words("nhân viên tra cứu", "acting person"),
    "persons": Words("{count} người", "{count} persons"),
    "table": Words(
        "bảng {cells} ô, {hidden} ‰ trong đó bị ẩn", "a table of {cells} cells, {hidden} ‰ of them hidden"
    ),
    "individually": Words("mọi điều về từng người", "everything about anybody"),
}  # fmt: skip
REASONS: Final[Mapping[str, Words]] = {
    "name_mismatch": Words("sai họ tên", "the name is wrong"),
    "name_near_mismatch": Words("họ tên gần đúng", "the name is nearly right"),
    "birth_date_mismatch": Words("sai ngày sinh", "the birth date is wrong"),
    "not_found": Words("không có thẻ này", "there is no such card"),
    "status_only": Words("chỉ báo tình trạng", "only a status is told"),
    "acting_person_unknown": Words("nhân viên chưa được đăng ký", "the acting person is not registered"),
    "acting_person_mismatch": Words("tên nhân viên không khớp số", "the acting person's name does not fit"),
    "proof_replayed": Words("bằng chứng DPoP đã dùng", "the proof was used before"),
    "limit_reached": Words("hết số lần trong ngày", "the day's limit is reached"),
    "client_not_active": Words("hệ thống bị tạm ngừng", "the client is suspended"),
    "token_not_active": Words("mã truy cập đã bị thu hồi", "the token was revoked"),
    "source_unavailable": Words("nguồn không trả lời", "the source does not answer"),
}

START: Final[Mapping[str, Words]] = {
    "title": Words(
        "Một ngày của bệnh viện: tra cứu quyền lợi bảo hiểm y tế qua hệ thống chia sẻ dữ liệu",
        "A hospital's day: health-insurance checks through the data-sharing broker",
    ),
    "synthetic": Words(
        "Mọi người trong kho dữ liệu này đều do máy tạo ra, không ai có thật.",
        "Everybody in this database is made up by a program; nobody is real.",
    ),
    "database": Words("PostgreSQL chạy trong {directory}", "PostgreSQL runs under {directory}"),
    "populating": Words("người", "persons"),
    "made": Words(
        "đã tạo dân số giả lập, đúng cho ngày {day}", "a synthetic population is made, true on {day}"
    ),
    "kept": Words(
        "dùng lại dân số giả lập đã có", "the synthetic population of an earlier run is used again"
    ),
    "hospital": Words(
        "{organisation} đã đăng ký: hệ thống {client}, khóa riêng mới, một nhân viên được phân công",
        "{organisation} is registered: client {client}, fresh keys, one staff member assigned",
    ),
    "serving": Words(
        "máy chủ sẵn sàng ở {issuer} ({seconds:.1f} giây)",
        "the server is ready at {issuer} ({seconds:.1f} s)",
    ),
    "frozen": Words(
        "bản phát hành thống kê {release} đã chốt ({seconds:.1f} giây)",
        "the statistical release {release} is frozen ({seconds:.1f} s)",
    ),
    "found": Words(
        "dùng lại bản phát hành thống kê {release}", "the statistical release {release} is used again"
    ),
    "right": Words("{count} cảnh, tất cả đúng như mong đợi.", "{count} scenes, all of them as expected."),
    "wrong": Words("KHÁC MONG ĐỢI: {names}", "NOT AS EXPECTED: {names}"),
    "clean": Words(
        "{numbers} số và tên đã dùng được tìm trong {entries} bằng chứng: không thấy số nào.",
        "{numbers} numbers and names in use were looked for in {entries} evidence entries: none is there.",
    ),
    "unclean": Words("Bằng chứng có chứa số hoặc tên!", "Evidence holds a number or a name!"),
    "proven": Words(
        "Nhật ký minh bạch: bằng chứng {reference} đứng ở vị trí {index} trong cây đã ký gồm {size} mục; "
        "chứng minh {hashes} mã băm đã kiểm sau {seconds:.1f} giây.",
        "Transparency log: the entry {reference} stands at index {index} of a signed tree of {size}; its "
        "proof of {hashes} hashes was verified after {seconds:.1f} s.",
    ),
    "unproven": Words(
        "Bằng chứng {reference} chưa vào nhật ký!", "The entry {reference} did not come into the log!"
    ),
    "stamped": Words(
        "Dấu thời gian (RFC 3161): điểm kiểm tra {size} mục đã có muộn nhất lúc {at}, theo {authority}.",
        "Time stamp (RFC 3161): the tree of {size} entries existed at {at} at the latest, by {authority}.",
    ),
    "unstamped": Words(
        "Không có dấu thời gian: máy này không có chương trình openssl để làm cơ quan cấp dấu.",
        "No time stamp: there is no openssl on this machine that could be the authority.",
    ),
    "stamp_late": Words(
        "Dấu thời gian chưa đến kịp; nhật ký không chờ.",
        "The time stamp has not come yet; the log does not wait for it.",
    ),
    "try_proof": Words(
        "Tự kiểm một mục, và cả nhật ký, chỉ bằng tệp (không cần máy chủ):",
        "Check the entry, and the whole log, with files alone (no server needed):",
    ),
    "try_browser": Words(
        "Hoặc trong trình duyệt, khi máy chủ chạy: chọn {path} ở {page}, và dán khóa:",
        "Or in a browser, while the server runs: choose {path} on {page}, and paste the key:",
    ),
    "transcript": Words("Biên bản: {path}", "Transcript: {path}"),
    "left": Words(
        "Máy chủ vẫn chạy. Mở cửa sổ lệnh thứ hai và dán:",
        "The server keeps running. Open a second terminal and paste:",
    ),
    "tables": Words("Hoặc hỏi một bảng như Bộ Y tế:", "Or ask for a table as the ministry:"),
    "waiting": Words(
        "Ngân hàng và một công ty vừa hỏi một công dân khác: hai yêu cầu đang chờ trong hộp thư.",
        "The bank and a company have just asked another citizen: both requests wait in that person's inbox.",
    ),
    "loan": Words("Hồ sơ vay thử nghiệm", "A trial loan"),
    "job": Words("Hồ sơ ứng tuyển thử nghiệm", "A trial application for a job"),
    "pages": Words("Trang của công dân đó: {address}", "That citizen's pages: {address}"),
    "account": Words(
        "Số định danh {number}, mật khẩu {password}, ứng dụng mã dùng một lần: {uri}",
        "Personal id {number}, password {password}, for an app of one-time codes: {uri}",
    ),
    "child": Words(
        "Con của người đó, từ 7 đến 17 tuổi, cũng được hỏi: cả hai cùng ký. "
        "Số định danh {number}, mật khẩu {password}, mã dùng một lần: {uri}",
        "A child of that person, between 7 and 17, was asked too: both sign. "
        "Personal id {number}, password {password}, one-time codes: {uri}",
    ),
    "reads": Words(
        "{organisation} vừa đọc được: {words}. Xem trong Ai đã xem dữ liệu của tôi.",
        "{organisation} has just read: {words}. It stands in Who saw my data.",
    ),
    "is_refused": Words(
        "{organisation} vừa thử đọc và bị từ chối: {words}.",
        "{organisation} has just tried to read and was refused: {words}.",
    ),
    "not_given": Words("{organisation} không được đồng ý: {words}.", "{organisation} may not: {words}."),
    "citizen": Words(
        "Để tự mình là công dân: dán dòng này, đăng nhập trong trình duyệt bằng số và mật khẩu ở {path}",
        "To be the citizen yourself: paste this, and sign in with number and password of {path}",
    ),
    "code": Words("Mã dùng một lần của lúc này:", "The one-time code of the moment:"),
    "end": Words("Ctrl-C để dừng.", "Ctrl-C ends it."),
    "ended": Words("Đã dừng máy chủ và PostgreSQL.", "The server and PostgreSQL are stopped."),
}
"""What is said before and after the story."""

FAULTS: Final[Mapping[str, Words]] = {
    "directory": Words(
        "Không dùng được thư mục {directory}: {fault}. Hãy xóa nó bằng đúng người dùng đã tạo, hoặc chỉ "
        "thư mục khác bằng BROKER_STATE_DIRECTORY.",
        "{directory} cannot be used: {fault}. Remove it as the user who made it, or name another directory "
        "in BROKER_STATE_DIRECTORY.",
    ),
    "busy": Words(
        "Một demo khác đang dùng {directory}. Hãy dừng nó, hoặc chỉ thư mục khác bằng "
        "BROKER_STATE_DIRECTORY.",
        "Another demo uses {directory}. Stop it, or name another directory in BROKER_STATE_DIRECTORY.",
    ),
    "other_version": Words(
        "{directory} do một phiên bản khác tạo ra ({fault}). Hãy xóa thư mục đó rồi chạy lại; chỉ mất dữ "
        "liệu demo.",
        "{directory} was made by another version ({fault}). Remove it and start again; only demo data "
        "are lost.",
    ),
    "extra": Words(
        "Thiếu thư viện {fault}. Hãy cài: pip install 'insurance-data-broker[embedded,synthetic,statistics]'",
        "The library {fault} is missing: pip install 'insurance-data-broker[embedded,synthetic,statistics]'",
    ),
    "few": Words(
        "Dân số giả lập quá nhỏ: không có ai cho trường hợp {fault}.",
        "The population is too small: there is nobody for the case {fault}.",
    ),
    "died": Words("Máy chủ tự dừng; lý do nằm trong {log}", "The server ended by itself; {log} says why"),
}
"""Why the demo cannot go on, and what to do."""
