"""The words of the sample mail: who writes, and what. make.py turns them into messages."""

PEOPLE = {
    "clara": ("Clara Lindqvist", "clara@example.org"),
    "jonas": ("Jonas Weßel", "jonas@example.org"),
    "office": ("Harbour Office", "office@example.org"),
    "members": ("Members", "announce@example.org"),
    "archivist": ("Museum Archive", "archive@example.org"),
    "billing": ("Schiffsausrüstung Beispiel, Buchhaltung", "rechnung@example.com"),
    "list": ("boatbuilders", "boatbuilders@example.net"),
    "marthe": ("Marthe Öztürk-Brandt", "marthe@example.org"),
    "ewan": ("Ewan Muir", "ewan@example.net"),
    "siobhan": ("Siobhán Ní Dhuibhir", "siobhan@example.net"),
    "amelie": ("Amélie Lefèvre", "amelie@example.com"),
    "zofia": ("Zofia Wiśniewska", "zofia@example.com"),
    "emre": ("Emre Yıldız", "emre@example.com"),
    "eleni": ("Ελένη Παπαδάκη", "eleni@example.com"),
    "irina": ("Ирина Соколова", "irina@example.com"),
    "oksana": ("Оксана Мельник", "oksana@example.com"),
    "layla": ("ليلى حداد", "layla@example.com"),
    "noam": ("נועם לוי", "noam@example.com"),
    "kavya": ("काव्या शर्मा", "kavya@example.com"),
    "somchai": ("สมชาย ใจดี", "somchai@example.com"),
    "wei": ("林偉", "wei@example.com"),
    "mei": ("李梅", "mei@example.com"),
    "haruka": ("佐藤はるか", "haruka@example.com"),
    "minji": ("김민지", "minji@example.com"),
    "lan": ("Nguyễn Thị Lan", "lan@example.com"),
    "pavel": ("Pavel Dvořák", "pavel@example.com"),
    "ines": ("Inês Carvalho", "ines@example.com"),
    "lucia": ("Lucía Ibáñez", "lucia@example.com"),
    "bjork": ("Þórdís Jónsdóttir", "thordis@example.com"),
    "nino": ("ნინო ბერიძე", "nino@example.com"),
    "bram": ("Bram de Wit", "bram@example.com"),
    "aino": ("Aino Mäkelä", "aino@example.com"),
    "giulia": ("Giulia Ferrante", "giulia@example.com"),
    "ilinca": ("Ilinca Țăranu", "ilinca@example.com"),
}

# Minutes east of Greenwich, where an hour isn't right.
ZONES = {
    "ja": 540, "ko": 540, "zh": 480, "th": 420, "vi": 420, "hi": 330, "ru": 180, "tr": 180, "ar": 120, "he": 120,
    "el": 120, "uk": 120, "fi": 120, "ro": 120, "ka": 240, "en": 0, "ga": 0, "is": 0, "pt": 0,
}  # fmt: skip

PICTURES = ["quay.png", "Leuchtturm bei Nacht.png", "büste.png", "灯台.png", "маяк.png"]

LETTERS = [
    ("de", "jonas", "iso-8859-1", "quoted-printable", "Schlüssel für den Bootsschuppen", """Liebe Clara,

der Schlüssel für den Bootsschuppen hängt wieder am Brett. Größere Reparaturen am Slip machen wir erst nach den Osterferien, bis dahin bitte nur die Jollen bewegen.

Die Abschlussrechnung der Zimmerei liegt in der Ablage; über die Türschwelle müssen wir noch reden.

Grüße
Jonas
"""),
    ("de", "marthe", "utf-8", "8bit", "Führung für die Grundschule am Donnerstag", """Hallo Clara,

am Donnerstag kommen 24 Kinder der Grundschule in den Leuchtturm. Kannst du um halb zehn aufschließen? Heißer Kakao wäre schön, draußen soll es stürmen.

Weißt du, ob die Ausstellung über die Deichschäfer schon aufgebaut ist?

Tschüß
Marthe
"""),
    ("de", "jonas", "windows-1252", "8bit", "Angebot – Persenning für die „Möwe“", """Moin,

das Angebot für die Persenning der „Möwe“ ist da: 1.240 € – ohne Anpassen. Ich würde zusagen, aber nur, wenn sie vor Pfingsten liefern können.

Jonas
"""),
    ("fr", "amelie", "iso-8859-15", "quoted-printable", "Prêt de la maquette du phare", """Chère Clara,

nous serions très heureux de vous prêter la maquette du phare pour l'été. Le transport coûterait environ 180 €, assurance comprise.

Où faut-il l'envoyer, et à quelle date l'exposition ouvre-t-elle ?

Bien à vous,
Amélie
"""),
    ("fr", "amelie", "utf-8", "base64", "Re : la caisse est arrivée abîmée", """Bonjour Clara,

merci pour les photos. Ne vous inquiétez pas : seul le socle est abîmé, l'œuvre elle-même n'a rien. Notre ébéniste s'en chargera en août.

Amitiés,
Amélie
"""),
    ("pl", "zofia", "iso-8859-2", "quoted-printable", "Zdjęcia z zeszłorocznych regat", """Dzień dobry,

przesyłam zdjęcia z zeszłorocznych regat. Proszę wybrać trzy lub cztery na wystawę; resztę możemy wysłać później.

Czy żaglowiec "Jaskółka" będzie w tym roku gotowy na święto portu?

Pozdrawiam serdecznie,
Zofia Wiśniewska
"""),
    ("pl", "zofia", "utf-8", "8bit", "Łódź gotowa do odbioru", """Szanowna Pani Klaro,

łódź jest gotowa do odbioru. Wymieniliśmy dwie klepki i uszczelniliśmy pokład. Rachunek wyślę w przyszłym tygodniu.

Zofia
"""),
    ("tr", "emre", "iso-8859-9", "quoted-printable", "Işıklar ve İstanbul'daki toplantı", """Sevgili Clara,

İstanbul'daki toplantı için biletleri aldım. Deniz fenerinin ışıkları hakkında kısa bir konuşma yapacağım; eski merceğin çizimlerini gönderebilir misin?

Görüşmek üzere,
Emre
"""),
    ("tr", "emre", "utf-8", "8bit", "Yağmurlu bir gün, güzel bir müze", """Merhaba,

geçen haftaki ziyaret için çok teşekkürler. Çocuklar özellikle gemici düğümlerini sevdi. ILIK ÇAY da çok iyi geldi!

Emre Yıldız
"""),
    ("el", "eleni", "iso-8859-7", "base64", "Το παλιό καΐκι", """Αγαπητή Κλάρα,

βρήκαμε έναν ναυπηγό που ξέρει ακόμη να φτιάχνει παλιά καΐκια. Ζητά τα σχέδια και φωτογραφίες της πρύμνης.

Ο καιρός εδώ είναι υπέροχος. Πότε θα έρθεις;

Με φιλικούς χαιρετισμούς
Ελένη
"""),
    ("el", "eleni", "utf-8", "quoted-printable", "Φωτογραφίες από τον φάρο", """Καλημέρα,

σου στέλνω τις φωτογραφίες από τον φάρο. ΟΔΟΣ ΛΙΜΑΝΙΟΥ 7 είναι η νέα μας διεύθυνση.

Ελένη
"""),
    ("ru", "irina", "koi8-r", "8bit", "Чертежи парусной шлюпки", """Здравствуйте, Клара!

Высылаю чертежи парусной шлюпки. Размеры даны в сантиметрах, материал - лиственница. Если что-то непонятно, пишите.

С уважением,
Ирина Соколова
"""),
    ("ru", "irina", "windows-1251", "base64", "Ёлка на причале", """Дорогая Клара,

спасибо за открытку! У нас на причале тоже поставили ёлку, а съёмка для музея назначена на январь.

Ирина
"""),
    ("ru", "irina", "utf-8", "quoted-printable", "Вопрос о маяке", """Клара, добрый день!

Какой высоты ваш маяк и когда его построили? Мы готовим статью для журнала и хотели бы получить фотографию.

Ирина
"""),
    ("uk", "oksana", "koi8-u", "8bit", "Виставка про річкові човни", """Добрий день, Кларо!

Наша виставка про річкові човни відкриється у вересні. Чи можемо ми позичити ваш якір і ґудзики з форми капітана?

Щиро ваша
Оксана
"""),
    ("ar", "layla", "windows-1256", "base64", "صور السفينة القديمة", """السيدة كلارا المحترمة،

أرسل إليكم صور السفينة القديمة التي وجدناها في الميناء. نرجو أن تخبرونا إن كنتم تعرفون سنة بنائها.

مع أطيب التحيات
ليلى حداد
"""),
    ("ar", "layla", "utf-8", "base64", "موعد الزيارة", """مرحباً كلارا،

هل يناسبكم أن نزور المتحف يوم الثلاثاء الساعة العاشرة صباحاً؟ سنكون خمسة أشخاص.

ليلى
"""),
    ("he", "noam", "iso-8859-8", "base64", "המפה של הנמל", """שלום קלרה,

מצאתי מפה ישנה של הנמל בארכיון שלנו. היא מצוירת ביד, ויש בה הערות על עומק המים. אשלח סריקה בשבוע הבא.

בברכה,
נועם
"""),
    ("he", "noam", "utf-8", "8bit", "תודה על הסיור", """קלרה היקרה,

תודה רבה על הסיור במגדלור. הילדים עדיין מדברים על המדרגות.

נועם לוי
"""),
    ("hi", "kavya", "utf-8", "base64", "नाव की मरम्मत", """प्रिय क्लारा,

पुरानी नाव की मरम्मत पूरी हो गई है। हमने नए तख्ते लगाए और उसे नीले रंग से रंगा। तस्वीरें अगले सप्ताह भेजूँगी।

सादर,
काव्या
"""),
    ("hi", "kavya", "utf-8", "quoted-printable", "संग्रहालय के खुलने का समय", """नमस्ते,

क्या संग्रहालय रविवार को भी खुला रहता है? हम दस लोग आना चाहते हैं।

काव्या शर्मा
"""),
    ("th", "somchai", "tis-620", "8bit", "เรือไม้ลำใหม่", """เรียนคุณคลาร่า

เรือไม้ลำใหม่สร้างเสร็จแล้ว เราจะจัดงานเปิดตัวในเดือนพฤศจิกายน หวังว่าคุณจะมาร่วมงานได้

ขอแสดงความนับถือ
สมชาย
"""),
    ("th", "somchai", "utf-8", "base64", "รูปถ่ายท่าเรือ", """สวัสดีครับ

ผมส่งรูปถ่ายท่าเรือมาให้แล้ว ถ้าต้องการรูปขนาดใหญ่กว่านี้กรุณาแจ้งด้วยครับ

สมชาย ใจดี
"""),
    ("zh", "mei", "gb18030", "8bit", "关于灯塔模型", """克拉拉：

您好！灯塔模型已经做好了，高度是一米二。我们下个月用海运寄出，请把收货地址发给我。

此致
李梅
"""),
    ("zh", "mei", "gb2312", "base64", "港口的照片", """克拉拉：

谢谢您寄来的照片。我们的读者很喜欢那张雾中的灯塔。

李梅
"""),
    ("zh", "wei", "big5", "8bit", "舊船圖紙", """克拉拉您好：

我在臺灣的圖書館裡找到了一九三二年的舊船圖紙，掃描後會寄給您。請問檔案太大的話怎麼辦？

林偉 敬上
"""),
    ("zh", "wei", "utf-8", "base64", "圖紙的檔案", """克拉拉：

檔案分成三個部分寄出，今天先寄第一部分。

林偉
"""),
    ("ja", "haruka", "iso-2022-jp", "7bit", "灯台の写真について", """クララ様

いつもお世話になっております。先日お送りいただいた灯台の写真を、来年のカレンダーに使わせていただけますでしょうか。

よろしくお願いいたします。
佐藤はるか
"""),
    ("ja", "haruka", "shift_jis", "8bit", "木造船の展示", """クララ様

木造船の展示は四月に始まります。ポスターができましたので、一枚お送りします。

佐藤
"""),
    ("ja", "haruka", "utf-8", "base64", "お礼", """クララ様

素敵な本をありがとうございました。港の歴史がよくわかりました。また秋にお会いできるのを楽しみにしています。

はるか
"""),
    ("ko", "minji", "euc-kr", "8bit", "등대 방문 일정", """클라라 님께,

안녕하세요. 다음 달 등대 방문 일정을 확정하고 싶습니다. 화요일 오전이 가능할까요?

감사합니다.
김민지 드림
"""),
    ("ko", "minji", "utf-8", "base64", "배 모형 사진", """클라라 님,

배 모형 사진을 보내 드립니다. 마음에 드는 것을 골라 주세요.

김민지
"""),
    ("vi", "lan", "utf-8", "quoted-printable", "Thuyền gỗ và bảo tàng", """Chào chị Clara,

em gửi chị bản vẽ chiếc thuyền gỗ. Nếu bảo tàng cần thêm thông tin, xin chị cứ viết cho em.

Thân mến,
Lan
"""),
    ("cs", "pavel", "iso-8859-2", "8bit", "Říční loď a její příběh", """Dobrý den, paní Lindqvistová,

posílám příběh naší říční lodě. Byla postavena v roce 1911 a dodnes pluje. Žádáme jen, abyste uvedli jméno autora.

S pozdravem
Pavel Dvořák
"""),
    ("pt", "ines", "iso-8859-1", "quoted-printable", "Azulejos com barcos", """Cara Clara,

encontrámos os azulejos com os barcos de que lhe falei. São do século XVIII e não estão em mau estado. Tem interesse numa exposição em conjunto?

Com os melhores cumprimentos,
Inês
"""),
    ("es", "lucia", "utf-8", "8bit", "¿Cuándo zarpa el «Gaviota»?", """Hola, Clara:

¿cuándo zarpa el «Gaviota»? Mañana tenemos una reunión con el señor Núñez y querríamos saber si el barco llegará antes de la fiesta del pingüino.

Un abrazo,
Lucía
"""),
    ("is", "bjork", "iso-8859-1", "8bit", "Bátur í fjörunni", """Kæra Clara,

báturinn liggur enn í fjörunni. Við þurfum stærri krana, og veðrið er ekki gott. Ég hringi á föstudaginn.

Þórdís
"""),
    ("ka", "nino", "utf-8", "base64", "ზღვის მუზეუმი", """ძვირფასო კლარა,

ჩვენი ზღვის მუზეუმი გაზაფხულზე გაიხსნება. მოხარული ვიქნებით, თუ გვესტუმრებით.

ნინო
"""),
    ("nl", "bram", "us-ascii", "7bit", "Veerpont en dienstregeling", """Beste Clara,

de dienstregeling van de veerpont is klaar. Op zondag vaart hij een uur later, en bij storm helemaal niet. Kun je hem op het bord hangen?

Groeten,
Bram
"""),
    ("fi", "aino", "iso-8859-15", "8bit", "Jäänmurtaja saapuu", """Hei Clara,

jäänmurtaja saapuu ensi viikolla. Pyysin heitä käymään museossa; väkeä tulee noin kaksikymmentä.

Terveisin
Aino
"""),
    ("it", "giulia", "utf-8", "quoted-printable", "La vela è strappata", """Cara Clara,

la vela è strappata, ma si può riparare: ci vorranno però due settimane. Perché non usate quella di riserva? È già a bordo.

A presto,
Giulia
"""),
    ("ro", "ilinca", "utf-8", "8bit", "Farul și școala de navigație", """Bună ziua, Clara,

școala noastră de navigație ar dori să viziteze farul în octombrie. Câți elevi pot urca odată?

Cu stimă,
Ilinca
"""),
    ("ga", "siobhan", "utf-8", "8bit", "Bád nua sa chuan", """A Chlára, a chara,

tá bád nua sa chuan againn. Tiocfaidh mé ar cuairt go luath, le cúnamh Dé.

Siobhán
"""),
    ("en", "ewan", "us-ascii", "7bit", "Paint for the hull", """Clara,

I have ordered the red paint for the hull, and two tins of primer. It will be with you before the end of the month, weather permitting.

Don't let Jonas start before it's dry.

Ewan
"""),
    ("en", "siobhan", "utf-8", "quoted-printable", "The café on the quay — opening hours", """Hi Clara,

the café would like to stay open until ten on regatta days. I said that’s fine as long as the tables are off the quay by midnight. Cost to us: £0.

Siobhán
"""),
    ("en", "ewan", "utf-8", "8bit", "Tide tables 🌊", """Clara,

next year's tide tables are out 🌊⚓. I printed six copies: one for the office, one for the café, the rest for the boats.

Ewan
"""),
]

REMARKS = [
    "The crane was inspected on Wednesday; the certificate is in the blue binder.",
    "Two berths are blocked by the dredger until the end of the month.",
    "The shop ran out of postcards again, more are on their way.",
    "Nothing broke. We are a little suspicious.",
    "The school group forgot eleven rain jackets; they hang in the workshop.",
    "Fog on four days, so the boat trips were cancelled and paid back.",
    "The new bench on the pier is popular with gulls and with visitors, in this order.",
    "Please remind everybody that the slipway gate stays closed at night.",
]

GOODS = [
    "Tauwerk 14 mm, 120 m", "Bootslack, weiß", "Fender und Leinen", "Wartung der Winsch", "Prüfung der Rettungswesten",
    "Lärchenholz, gehobelt", "Dieselfilter", "Ausrüstung für die Jollen", "Neue Scheiben für den Steuerstand",
]  # fmt: skip

BOATS = [
    ("ewan", "Kittiwake", "Pier 2"), ("amelie", "L'Étoile du matin", "Pier 1"), ("bram", "De Goede Hoop", "Pier 3"),
    ("zofia", "Jaskółka", "Pier 1"), ("bjork", "Sæunn", "Outer mole"), ("aino", "Merituuli", "Pier 2"),
    ("giulia", "Bella Ciao", "Pier 2"), ("lucia", "Gaviota", "Outer mole"), ("ines", "Andorinha", "Pier 3"),
    ("pavel", "Vltavanka", "Pier 1"), ("eleni", "Άγιος Νικόλαος", "Pier 2"), ("emre", "Yelkovan", "Pier 3"),
    ("siobhan", "An Faoileán", "Pier 1"), ("ilinca", "Pescăruș", "Outer mole"), ("oksana", "Чайка", "Pier 2"),
    ("haruka", "かもめ丸", "Outer mole"), ("lan", "Sóng Biển", "Pier 3"), ("minji", "갈매기", "Pier 1"),
    ("noam", "שחף", "Pier 2"), ("irina", "Альбатрос", "Pier 3"),
]  # fmt: skip

WISHES = [
    "She is eleven metres long and needs two metres of water.",
    "If possible close to the showers; we have three children aboard.",
    "We can moor alongside others, we are used to it.",
    "Shore power would be good, 16 A is enough.",
    "We arrive with the evening tide, please keep a light on.",
]

NEWS = [
    ("The lamp burns again", ["After two years of work the lamp of the old lighthouse burns again. We thank everyone who gave time, money or cake.", "Open days are the first two weekends of January, as long as the steps are free of ice."]),
    ("A quiet winter, a loud summer", ["The winter was quiet: eleven members repaired the jetty.", "In summer we shall have 40 boats for the festival; there are beds to be offered. Write to the office."]),
    ("Our museum has a new roof", ["The roof is finished, and nothing was rained on. Next: the windows on the north side.", "The annual meeting takes place on 3 March at half past six in the net loft."]),
    ("Wooden boats wanted", ["The boatyard has room for two more wooden boats under eight metres.", "Members pay half. You do the sanding, we show you how."]),
    ("What the storm left", ["The storm took the flagpole, six tiles and the gate. Nobody was hurt.", "On Saturday we clean up; gloves are there, soup as well."]),
    ("A year without a festival", ["There was no festival this year, but 300 letters from people who missed it.", "We print the finest of them in the yearbook."]),
    ("Knots for everybody", ["The course about knots begins again: eight evenings, one rope each.", "Children under ten bring a grown-up who can learn it, too."]),
    ("The ferry comes back", ["From May the ferry runs three times a day again, on Sundays four times.", "Bicycles ride for free until the end of June."]),
    ("Seventy years of the cooperative", ["Seventy years ago eleven fishermen signed a sheet of paper. We still have it.", "Come and see it; there will be a speech, a short one."]),
    ("New opening hours", ["The museum opens at ten from Tuesday to Sunday. On Mondays we repair what the week has broken."]),
]

ANSWERS = [
    ("jonas", "Re: Schlüssel für den Bootsschuppen", "Danke, Jonas. Ich habe den Zweitschlüssel in die Kasse gelegt. Über die Türschwelle reden wir am Freitag.\n\nClara\n"),
    ("marthe", "Re: Führung für die Grundschule am Donnerstag", "Halb zehn passt. Die Deichschäfer stehen schon, nur die Schilder fehlen noch. Kakao mache ich.\n\nClara\n"),
    ("amelie", "Re: Prêt de la maquette du phare", "Chère Amélie,\n\nmerci beaucoup ! L'exposition ouvre le 12 juin ; la maquette peut arriver dès le 1er.\n\nClara\n"),
    ("zofia", "Re: Zdjęcia z zeszłorocznych regat", "Dzień dobry,\n\ndziękuję za piękne zdjęcia! Wybrałam numery 3, 8 i 11.\n\nClara\n"),
    ("ewan", "Re: Paint for the hull", "Ewan,\n\nhe started. It was not dry. We shall need a third tin.\n\nClara\n"),
    ("siobhan", "Re: The café on the quay — opening hours", "Fine with me, but the music ends at eleven.\n\nClara\n"),
    ("bram", "Re: Veerpont en dienstregeling", "Dank je wel, Bram. Hij hangt.\n\nClara\n"),
    ("lucia", "Re: ¿Cuándo zarpa el «Gaviota»?", "Hola, Lucía:\n\nzarpa el viernes a las seis, si el viento quiere. ¿Un pingüino?\n\nClara\n"),
    ("giulia", "Re: La vela è strappata", "Cara Giulia,\n\nla usiamo già da maggio. Grazie!\n\nClara\n"),
    ("office", "Holiday from the 8th", "I am away from the 8th to the 19th. Jonas has the keys, Marthe knows about the lamp.\n\nClara\n"),
    ("office", "Lost property", "The rain jackets from the school can go to the lost-property box in the town hall. Keep the blue one, it is mine.\n\nClara\n"),
    ("archivist", "Old log books", "Could you scan the log books of 1931 to 1938 first? The paper is getting brittle, and the ink of March 1934 is hardly to be read.\n\nClara\n"),
    ("billing", "Rückfrage zu Ihrer Rechnung", "Guten Tag,\n\nauf der letzten Rechnung stehen 120 m Tauwerk, geliefert wurden 100 m. Bitte prüfen Sie das.\n\nMit freundlichen Grüßen\nClara Lindqvist\n"),
    ("jonas", "Festival: who stands where", "Jonas at the gate, Marthe at the lamp, Ewan with the soup, I with the key to the cash box. Siobhán sings, whether we like it or not.\n\nClara\n"),
    ("eleni", "Re: Το παλιό καΐκι", "Αγαπητή Ελένη,\n\nτα σχέδια είναι στο ταχυδρομείο. Έρχομαι τον Σεπτέμβριο!\n\nClara\n"),
    ("irina", "Re: Вопрос о маяке", "Здравствуйте, Ирина!\n\nМаяк построен в 1874 году, высота 31 метр. Фотографию пришлю завтра.\n\nClara\n"),
    ("haruka", "Re: 灯台の写真について", "佐藤様\n\nもちろんです。どうぞお使いください。\n\nClara\n"),
    ("mei", "Re: 关于灯塔模型", "李梅：\n\n地址是：港口路 7 号。谢谢！\n\nClara\n"),
    ("members", "Thank you for the cake", "Dear all,\n\nnineteen cakes. Nineteen! Nothing is left, apart from the tins: they stand in the office and want to go home.\n\nClara\n"),
    ("ewan", "Re: Tide tables 🌊", "Got them, thank you. The one in the café already has coffee on it.\n\nClara\n"),
    ("aino", "Re: Jäänmurtaja saapuu", "Hei Aino,\n\ntwenty is fine, they only have to mind their heads on the stairs.\n\nClara\n"),
    ("layla", "Re: موعد الزيارة", "مرحباً ليلى،\n\nيوم الثلاثاء مناسب جداً. أهلاً وسهلاً بكم.\n\nClara\n"),
    ("noam", "Re: המפה של הנמל", "שלום נועם,\n\nאיזו הפתעה נפלאה! אנחנו מחכים לסריקה.\n\nClara\n"),
    ("kavya", "Re: संग्रहालय के खुलने का समय", "नमस्ते काव्या,\n\nहाँ, रविवार को सुबह दस बजे से खुला है।\n\nClara\n"),
    ("minji", "Re: 등대 방문 일정", "김민지 님,\n\n화요일 오전 열 시에 뵙겠습니다.\n\nClara\n"),
    ("pavel", "Re: Říční loď a její příběh", "Dear Pavel,\n\na wonderful story. Your name will stand right below the title.\n\nClara\n"),
]

PROJECTS = [
    ("Projects/Lighthouse", (2014, 9, 3, 8, 15), "Lamp room: glass and frame", [
        ("ewan", 0, "Clara, Jonas,\n\nI measured the lamp room again. Of 24 panes nine are cracked, and the frame on the weather side has rusted through in two places. We can't hang the new curtain before that is done.\n\nThe glazier needs the curvature of every pane; I made a paper template of one.\n\nEwan"),
        ("clara", 5, "Nine? In spring there were four.\n\nWhat does the glazier want for curved panes, and how long does he take? The festival is no deadline, the winter storms are."),
        ("ewan", 22, "About 210 a pane, six weeks. Two of them would have to be made by hand since the mould is gone."),
        ("jonas", 26, "I can weld the frame if somebody holds the ladder. Not in the rain, and not on a Friday."),
        ("clara", 30, "I hold the ladder. Ewan, please order all nine, and one to spare."),
        ("ewan", 1100, "The glass is here, ten panes, none broken. One of them is a little greener than the others; it goes to the land side."),
        ("jonas", 1170, "Frame welded, primed, painted twice. My left boot is white now as well."),
    ]),
    ("Projects/Lighthouse", (2015, 2, 11, 14, 0), "Who has the drawings of 1874?", [
        ("marthe", 0, "The monument office asks for the drawings of 1874. The museum's copy ends with sheet 6; sheets 7 to 9 must be somewhere. Has anybody seen them?"),
        ("archivist", 3, "Sheet 8 hangs framed in the café, behind the coffee machine. I would rather have it in the archive."),
        ("siobhan", 4, "It may leave the café if something of the same size comes back. The wall behind it is not a sight."),
        ("clara", 28, "There is a poster of sea birds, the same size. Sheets 7 and 9?"),
        ("archivist", 90, "Found: rolled up in the flag locker. Sheet 9 has been wet once, but every line can be read."),
    ]),
    ("Projects/Lighthouse", (2019, 5, 20, 10, 30), "LED or bulb?", [
        ("jonas", 0, "The last 1000 W bulb burns. There are none to be bought any more; a LED insert would need 60 W and would last until we are all retired. What do you say?"),
        ("marthe", 2, "The light is warm now. Will it look like a petrol station?"),
        ("jonas", 3, "There are warm ones, 2700 K. The beam will be narrower, though."),
        ("ewan", 7, "Keep the last bulb for the open day. LED for all other nights. That's what they did up north.", 0),
        ("clara", 30, "Agreed, Ewan's way. Jonas, please write down where the spare bulb is, in a place that people find."),
    ]),
    ("Projects/Ferry", (2017, 3, 6, 9, 0), "Timetable for the summer", [
        ("bram", 0, "Dear all,\n\nthis is my proposal for the summer: 8:10, 11:40 and 17:20 from our side, half an hour later from the other. On Sundays an hour later, and one trip more at 20:00.\n\nBram"),
        ("office", 6, "The bus arrives at 8:12. Could the ferry wait for five minutes?"),
        ("bram", 7, "8:15 then. The tide doesn't care about the bus, but people do."),
        ("clara", 9, "And what about low water at the springs? Last year she sat on the sand twice."),
        ("bram", 25, "Those four dates get a remark in the table: \"not at low water springs\". I mark them in red."),
        ("jonas", 27, "Red doesn't print in black and white. Use a star *."),
        ("bram", 28, "A star it is."),
    ]),
    ("Projects/Ferry", (2021, 10, 1, 12, 0), "New engine, estimates", [
        ("jonas", 0, "Three estimates for the engine came in:\n\n  diesel, overhauled    14,200\n  diesel, new           31,900\n  electric              58,000 (minus 22,000 grant)\n\nThe electric one charges over night at the pier."),
        ("clara", 20, "How far does it get in winter, against the wind?"),
        ("jonas", 22, "Four crossings are guaranteed at minus ten. We do three."),
        ("bram", 24, "A ferry without a noise? I shall have to ring a bell. I like it."),
        ("clara", 50, "Then the members decide in March. Jonas, one page with these figures please, no more."),
        ("jonas", 75, "One page is done. The back of it has the drawing."),
    ]),
    ("Projects/Museum", (2013, 1, 21, 10, 0), "Catalogue numbers", [
        ("archivist", 0, "From now on every object gets a number YEAR/NUMBER, for example 2013/0042. The old ones keep theirs, with a 0 before: 0/117. Please write the number on the object with a pencil, never on a label that can fall off."),
        ("marthe", 4, "And on glass?"),
        ("archivist", 5, "On glass on a thread around the neck. Objects without a neck: ask me."),
        ("clara", 6, "The ship's cat in the second room already has a number, a name and opinions."),
        ("archivist", 7, "2013/0001, then."),
    ]),
    ("Projects/Museum", (2018, 8, 14, 16, 45), "Loan of the model: crate, insurance, transport", [
        ("amelie", 0, "Dear Clara,\n\nthe crate is 140 × 80 × 80 cm and weighs 62 kg. Insurance value: 9 500 €. The carrier comes on the 27th, in the morning.\n\nAmélie"),
        ("clara", 19, "Dear Amélie,\n\nthe door of the museum is 79 cm wide. We shall take the window. Please tell the carrier that there is a crane, a small one.\n\nClara"),
        ("amelie", 21, "He laughed, then he asked how small."),
        ("clara", 23, "200 kg. It has lifted a piano."),
        ("amelie", 400, "So it has arrived, and it is whole? I didn't dare to call."),
        ("clara", 401, "Whole, dry and admired. Only the socle has a scratch; photographs follow."),
    ]),
    ("Projects/Museum", (2023, 4, 4, 9, 20), "Audio guide in six languages", [
        ("marthe", 0, "The texts of the audio guide are translated: German, English, French, Polish, Dutch and Danish. Who reads them aloud? We need voices that one likes to listen to for twenty minutes."),
        ("siobhan", 1, "Me, English. I have been told to shut up in several dialects, so I know how it's done."),
        ("zofia", 30, "Polish: my father would do it. He was on the radio for thirty years."),
        ("amelie", 32, "Je veux bien lire le texte français ; j'ai un rhume jusqu'à lundi.", 0),
        ("marthe", 33, "Wunderbar. Recording is in the net loft on the 20th; the gulls have been asked to be quiet."),
        ("jonas", 60, "They were not."),
    ]),
]

LIST_THREADS = [
    ((2010, 11, 2, 20, 10), "Clinker planking: dry or wet copper rivets?", [
        ("ewan", 0, "I am about to rivet the third strake of a five metre clinker boat and wonder whether to dip the rivets into linseed oil first. My father did, the book says not to. What is your practice, and did it make any difference after ten years?"),
        ("bram", 2, "Dry. The oil makes the rove slide, and then the rivet bends. But I oil the lands before I put them together, which is perhaps what your father really did."),
        ("aino", 9, "Wet, always, with pine tar instead of oil. Our boats are in brackish water, so take it with a grain of salt."),
        ("ewan", 12, "A grain of salt is exactly what is missing then. Thank you both, I shall try one strake each way and report in ten years."),
        ("pavel", 80, "I look forward to it. Please don't change the subject line."),
    ]),
    ((2012, 4, 18, 7, 0), "Where to buy larch in long lengths", [
        ("siobhan", 0, "Every merchant I know cuts larch at four metres. I need six, better seven, straight, few knots. Does anybody know a mill that still takes an order for a single tree?"),
        ("bjork", 3, "We have no trees, so I can't help. But we get ours from the mainland by ship, seven metres is no problem, the freight is."),
        ("aino", 5, "Write to a forester, not to a merchant. Ours let me choose the tree standing. It took a winter until it was dry enough, and it was worth it."),
        ("zofia", 26, "There is a small mill near us that cuts up to nine metres. I can ask, they don't do e-mail."),
        ("siobhan", 27, "Please do! I would come and fetch it myself, with a trailer and a flag."),
        ("zofia", 200, "They say yes, and that you are to bring gloves."),
    ]),
    ((2014, 1, 9, 22, 40), "[question] steam box: how long?", [
        ("lucia", 0, "The rule says an hour per inch of thickness. With oak that was air dried for eight years it breaks all the same. Longer, hotter, or give up?"),
        ("ewan", 8, "Soak it for three days before. Old dry oak has forgotten what water is."),
        ("giulia", 10, "Or use green wood, that's what it wants to be bent as."),
        ("lucia", 100, "Soaking did it. Two of three survived, and the third is a very nice coat hanger.", 1),
    ]),
    ((2016, 6, 30, 12, 12), "Drawings for a flat-bottomed skiff, free to use", [
        ("pavel", 0, "I have drawn a flat-bottomed skiff of 4.2 metres that children of twelve can build with some help. Six sheets, metric, free to use for schools. Tell me if something doesn't fit, please."),
        ("marthe", 20, "Our class starts on Monday: nine children, two teachers, one broken jigsaw. Sheet 3 gives the transom as 812 mm, sheet 4 as 821."),
        ("pavel", 21, "821 is right. Thank you! I corrected sheet 3."),
        ("marthe", 1500, "She floats. They called her \"821\"."),
        ("pavel", 1501, "I have never been so proud of a typing error."),
    ]),
    ((2017, 2, 3, 6, 55), "Caulking without oakum", [
        ("ines", 0, "The shop no longer sells oakum, only a synthetic thing that smells of nothing. Has anybody used it below the waterline? I am afraid of it, it doesn't swell."),
        ("bram", 4, "Cotton for thin seams, oakum for thick ones, and nothing else gets near my boats. There is a ropemaker who still picks oakum, I send you the address off the list."),
        ("emre", 6, "We use cotton soaked in red lead substitute. It holds for five years in warm water. İyi çalışmalar!"),
        ("haruka", 15, "In our country shaved cypress bark (maki-hada) is used. It swells a lot; I could send a little to try.", 0),
        ("ines", 16, "Yes please, I would love to try that. I pay with tinned sardines."),
        ("haruka", 300, "The sardines arrived. They were excellent. よろしく！"),
    ]),
    ((2019, 9, 12, 17, 5), "Paint that stays on galvanised steel", [
        ("jonas", 0, "Everything that I paint on the galvanised fittings comes off within a year. Etching primer, two-pack, patience: tried them all, apart from the last."),
        ("ewan", 1, "Let it weather for a year first. That is the patience you left out."),
        ("aino", 3, "Or don't paint it. Zinc is a colour, too."),
        ("jonas", 5, "My wife says the same. I give in.", 2),
    ]),
    ((2020, 3, 27, 10, 0), "Working alone in the shed", [
        ("siobhan", 0, "So here we are, each alone in a shed. How do you turn a hull over by yourself? Mine is 180 kg and the neighbours may not come closer than two metres."),
        ("bjork", 1, "Old tyres, two straps from the beam, a lot of coffee. Pull a little on the left, a little on the right."),
        ("pavel", 2, "Wait for spring tide and let the sea do it."),
        ("siobhan", 3, "It is a shed, Pavel. If the sea comes in here I have other worries."),
        ("bram", 26, "Straps and tyres. But put up a camera, for all of us."),
        ("siobhan", 50, "Done, it took four hours, and the camera saw only my back."),
    ]),
    ((2022, 12, 5, 9, 30), "RFC: a glossary of boat words in twelve languages", [
        ("zofia", 0, "I collect words for the parts of a boat in as many languages as possible: keel, Kiel, quille, stępka, omurga, καρίνα, киль, 龍骨. Corrections and further words are very welcome; the table is to become a poster."),
        ("eleni", 3, "In Greek it is καρίνα for everybody and τρόπιδα for the books."),
        ("minji", 9, "Korean: 용골 (龍骨), the dragon's bone, as in Chinese and Japanese."),
        ("kavya", 12, "Hindi: नौतल. I have never heard anybody say it on a boat, though."),
        ("bjork", 14, "Kjölur in Icelandic.", 0),
        ("oksana", 15, "Кіль, просто кіль.", 0),
        ("zofia", 60, "Thank you all! 14 languages now. The dragon's bone gets the middle of the poster."),
    ]),
    ((2023, 8, 1, 19, 45), "Epoxy on old oak, yes or no", [
        ("giulia", 0, "A customer wants his eighty-year-old oak cutter covered with epoxy and glass. I would rather not. Give me arguments that a lawyer understands."),
        ("bram", 1, "Oak moves, glass doesn't. What is wet stays wet, what is dry gets wet. After five years you have a very expensive mould for a boat that is no longer in it."),
        ("ewan", 2, "Tell him what he pays for taking it off again. That is an argument a lawyer understands."),
        ("giulia", 40, "He wrote: \"caulk it\". Thank you."),
    ]),
]

DRAFTS = [
    ("Rede zum Jubiläum (Entwurf)", "Liebe Mitglieder, liebe Gäste,\n\nvor siebzig Jahren haben elf Fischer ein Blatt Papier unterschrieben. [Hier kurz: wer sie waren.]\n\nIch verspreche, mich kürzer zu fassen als mein Vorgänger.\n"),
    ("Zuschussantrag Leuchtturm, Teil 1", "Sehr geehrte Damen und Herren,\n\nhiermit beantragen wir einen Zuschuss für die Erneuerung der Scheiben. Eine Kostenübersicht fügen wir bei.\n\n[Beträge prüfen!]\n"),
    ("Ablageplan", "1 Verträge\n2 Rechnungen & Quittungen\n3 Schriftwechsel\n  3.1 Behörden\n  3.2 Gäste\n4 Fotos (nur Verweise, nie die Bilder selbst)\n"),
    ("Öffnungszeiten 2024", "Dienstag bis Sonntag 10–17 Uhr, im Winter nur am Wochenende. Montags wird repariert.\n"),
    ("Brief an die Gemeinde wegen der Straßenlaterne", "Die Laterne vor dem Bootsschuppen brennt seit drei Wochen auch am Tag. Nachts brennt sie nicht.\n"),
    ("Danksagung Kuchen", "Neunzehn Kuchen! [Namen einsetzen, niemanden vergessen, vor allem nicht Frau Jürgensen]\n"),
    ("Regeln für den Slip", "§ 1 Wer slippt, fegt.\n§ 2 Das Tor bleibt nachts zu.\n§ 3 Ausnahmen beschließt die Mitgliederversammlung, nicht Jonas.\n"),
    ("Stellenanzeige Museumsaufsicht", "Wir suchen eine freundliche Aufsicht (m/w/d) für das Museum, gern mit Kenntnissen in Friesisch, Dänisch oder Knoten.\n"),
    ("Notiz: Gespräch mit der Versicherung", "Frau Ö. sagt: Modellschiff nur versichert, wenn die Vitrine verschlossen ist. Schlüssel nachmachen lassen (2×).\n"),
    ("Weihnachtsgruß", "Frohe Weihnachten und ein gutes neues Jahr wünscht die Hafengenossenschaft.\n\n☃ ❄ ⛵\n"),
]
