PRAGMA application_id = 2002936625;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('1');
CREATE TABLE annotations (
	cell_id TEXT NOT NULL, 
	reading TEXT NOT NULL, 
	label TEXT NOT NULL, 
	annotator TEXT NOT NULL, 
	"when" TEXT NOT NULL, 
	PRIMARY KEY (cell_id, reading)
);
INSERT INTO "annotations" VALUES('a','','monocyte','me','2026-01-03T00:00:00+00:00');
CREATE TABLE cells (
	position INTEGER NOT NULL, 
	cell_id TEXT NOT NULL, 
	slide TEXT NOT NULL, 
	fov_id TEXT NOT NULL, 
	top FLOAT NOT NULL, 
	"left" FLOAT NOT NULL, 
	bottom FLOAT NOT NULL, 
	"right" FLOAT NOT NULL, 
	outline TEXT, 
	score FLOAT NOT NULL, 
	drawn INTEGER NOT NULL, 
	PRIMARY KEY (position), 
	UNIQUE (cell_id), 
	FOREIGN KEY(slide) REFERENCES slides (slide), 
	FOREIGN KEY(fov_id) REFERENCES fields (fov_id)
);
INSERT INTO "cells" VALUES(1,'a','s','s/0.png',1.0,2.0,11.0,12.5,'[[1.0, 2.0], [1.0, 12.5], [11.0, 12.5]]',0.875,0);
INSERT INTO "cells" VALUES(2,'b','s','s/1.png',1.0,1.0,10.0,10.0,NULL,1.0,1);
CREATE TABLE changes (
	change INTEGER NOT NULL, 
	seq INTEGER NOT NULL, 
	cell_id TEXT NOT NULL, 
	was TEXT, 
	now TEXT, 
	PRIMARY KEY (change), 
	FOREIGN KEY(seq) REFERENCES steps (seq)
);
INSERT INTO "changes" VALUES(1,1,'a',NULL,'{"fov_id": "s/0.png", "detection": {"box": [1.0, 2.0, 11.0, 12.5], "outline": [[1.0, 2.0], [1.0, 12.5], [11.0, 12.5]], "score": 0.875, "drawn": false}, "prediction": {"names": ["neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"], "probabilities": [0.125, 0.0, 0.5, 0.25, 0.125], "threshold": 0.25, "model_id": "cdnn 3 (abcdef01)", "unlikeness": 0.75, "weights": "abababababababababababababababababababababababababababababababab"}, "annotation": null}');
INSERT INTO "changes" VALUES(2,2,'b',NULL,'{"fov_id": "s/1.png", "detection": {"box": [0, 0, 9, 9], "outline": null, "score": 1.0, "drawn": true}, "prediction": null, "annotation": null}');
INSERT INTO "changes" VALUES(3,3,'a','{"annotation": null}','{"annotation": {"label": "monocyte", "annotator": "me", "when": "2026-01-03T00:00:00+00:00"}}');
INSERT INTO "changes" VALUES(4,4,'b','{"detection": {"box": [0, 0, 9, 9], "outline": null, "score": 1.0, "drawn": true}}','{"detection": {"box": [1, 1, 10, 10], "outline": null, "score": 1.0, "drawn": true}}');
CREATE TABLE fields (
	fov_id TEXT NOT NULL, 
	slide TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	path TEXT NOT NULL, 
	relative TEXT, 
	size INTEGER, 
	modified INTEGER, 
	sha256 TEXT, 
	PRIMARY KEY (fov_id), 
	FOREIGN KEY(slide) REFERENCES slides (slide)
);
INSERT INTO "fields" VALUES('s/0.png','s',0,'/data/s/0.png','../../data/s/0.png',NULL,NULL,NULL);
INSERT INTO "fields" VALUES('s/1.png','s',1,'/data/s/1.png','../../data/s/1.png',NULL,NULL,NULL);
CREATE TABLE notes (
	"key" TEXT NOT NULL, 
	value TEXT NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "notes" VALUES('taxonomy','{"name": "five classes", "classes": [{"name": "neutrophil", "short": "NEU", "key": "1", "color": "#56b4e9", "place": "leukocyte", "covers": ["segmented neutrophil", "band neutrophil"]}, {"name": "eosinophil", "short": "EOS", "key": "2", "color": "#e69f00", "place": "leukocyte", "covers": []}, {"name": "basophil", "short": "BAS", "key": "3", "color": "#cc79a7", "place": "leukocyte", "covers": []}, {"name": "lymphocyte", "short": "LYM", "key": "4", "color": "#009e73", "place": "leukocyte", "covers": []}, {"name": "monocyte", "short": "MON", "key": "5", "color": "#f0e442", "place": "leukocyte", "covers": []}]}');
INSERT INTO "notes" VALUES('place','{"at": 1}');
CREATE TABLE predictions (
	cell_id TEXT NOT NULL, 
	label TEXT NOT NULL, 
	confidence FLOAT NOT NULL, 
	names TEXT NOT NULL, 
	probabilities TEXT NOT NULL, 
	threshold FLOAT NOT NULL, 
	model_id TEXT NOT NULL, 
	weights TEXT NOT NULL, 
	unlikeness FLOAT, 
	PRIMARY KEY (cell_id), 
	FOREIGN KEY(cell_id) REFERENCES cells (cell_id) ON DELETE CASCADE
);
INSERT INTO "predictions" VALUES('a','basophil',0.5,'["neutrophil", "eosinophil", "basophil", "lymphocyte", "monocyte"]','[0.125, 0.0, 0.5, 0.25, 0.125]',0.25,'cdnn 3 (abcdef01)','abababababababababababababababababababababababababababababababab',0.75);
CREATE TABLE slides (
	slide TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	PRIMARY KEY (slide)
);
INSERT INTO "slides" VALUES('s',0);
CREATE TABLE steps (
	seq INTEGER NOT NULL, 
	slide TEXT NOT NULL, 
	reading TEXT NOT NULL, 
	what TEXT NOT NULL, 
	cause TEXT NOT NULL, 
	"by" TEXT NOT NULL, 
	"when" TEXT NOT NULL, 
	"of" INTEGER NOT NULL, 
	PRIMARY KEY (seq), 
	FOREIGN KEY(slide) REFERENCES slides (slide)
);
INSERT INTO "steps" VALUES(1,'s','','analyze','model','me','2026-01-01T00:00:00+00:00',0);
INSERT INTO "steps" VALUES(2,'s','','draw','human','me','2026-01-02T00:00:00+00:00',0);
INSERT INTO "steps" VALUES(3,'s','','label','human','me','2026-01-03T00:00:00+00:00',0);
INSERT INTO "steps" VALUES(4,'s','','move','human','me','2026-01-04T00:00:00+00:00',0);
CREATE INDEX ix_cells_slide ON cells (slide);
CREATE INDEX steps_of_reading ON steps (slide, reading);
CREATE UNIQUE INDEX changes_of_step ON changes (seq, cell_id);
CREATE INDEX changes_of_cell ON changes (cell_id);
COMMIT;
